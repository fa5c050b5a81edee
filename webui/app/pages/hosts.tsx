// ホスト, for operators: what each has, promised and is busy with, whether it takes machines, and who is on it. Draining: `drain.tsx`.

import { Suspense, lazy } from "react";
import { useChange, useOne } from "../api/queries";
import type { HostNode, Instance } from "../api/types";
import { Facts, Head, Help, Meter, Named, State } from "../parts/basics";
import { Busy, BusyCard, Heard } from "../parts/busy";
import { Empty, Failed, Loading } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Drain } from "./drain";
import { HostGroups } from "./host-groups";
import { Loss } from "./loss";

/** Brings the charts. */
const NodeMetrics = lazy(() => import("./node-metrics"));

export function HostsPage() {
  const { t } = useWords();
  return (
    <>
      <Head title={t("hosts")} />
      <Help>{t("hosts.help")}</Help>
      <Listing<HostNode>
        label={t("hosts")}
        path="host_nodes"
        every={10_000}
        id={(one) => one.id}
        empty={<Empty title={t("none")} />}
        columns={[
          { title: t("host"), cell: (one) => <Named to={`/hosts/${one.id}`} id={one.id} name={one.display_name} /> },
          { title: t("state"), cell: (one) => <Health one={one} /> },
          { title: t("instances"), cell: (one) => one.instances, end: true },
          { title: t("node.busy"), cell: (one) => <Busy path={`host_nodes/${one.id}`} one={one} /> },
          { title: t("promised.cpu"), cell: (one) => <Meter label={t("cpu")} hideLabel value={one.used_cpu_cores} of={one.offering_cpu_cores} /> },
          {
            title: t("promised.memory"),
            cell: (one) => <Meter label={t("memory_gib")} hideLabel value={gib(one.used_memory_size)} of={gib(one.offering_memory_size)} />,
          },
          {
            title: t("promised.disk"),
            cell: (one) => <Meter label={t("disk_gib")} hideLabel value={gib(one.used_disk_space_mb)} of={gib(one.offering_disk_space_mb)} />,
          },
        ]}
      />
      <HostGroups />
    </>
  );
}

function gib(mib: number): number {
  return Math.round((mib / 1024) * 10) / 10;
}

export function Health({ one }: { one: Pick<HostNode, "status" | "scheduling_enabled" | "degraded"> }) {
  const { t } = useWords();
  return (
    <>
      <State state={one.status} />
      {!one.scheduling_enabled && <span className="tag">{t("cordoned")}</span>}
      {one.degraded && <p className="hint">{one.degraded}</p>}
    </>
  );
}

interface CordonProps {
  path: string;
  enabled: boolean;
  /** Where it is not machines that are placed. */
  stop?: string;
  go?: string;
}

export function Cordon({ path, enabled, stop, go }: CordonProps) {
  const { t } = useWords();
  const change = useChange();
  return (
    <>
      <button type="button" disabled={change.isPending} onClick={() => change.mutate({ method: "PUT", path, body: { scheduling_enabled: !enabled } })}>
        {enabled ? (stop ?? t("cordon")) : (go ?? t("uncordon"))}
      </button>
      {change.error && <Failed error={change.error} />}
    </>
  );
}

export function HostPage({ id }: { id: string }) {
  const { t } = useWords();
  const { can } = useSession();
  const found = useOne<HostNode>(`host_nodes/${id}`, {}, { every: 10_000 });
  if (found.error && !found.data) return <Failed error={found.error} />;
  if (!found.data) return <Loading />;
  const host = found.data;
  return (
    <>
      <Head title={host.display_name || host.id} back={["/hosts", t("hosts")]}>
        <Health one={host} />
        {can("operate") && <Cordon path={`host_nodes/${id}`} enabled={host.scheduling_enabled} />}
        {can("operate") && <Drain host={host} />}
      </Head>
      <Help>{t("host.help")}</Help>
      <div className="columns">
        <section className="card">
          <h2>{t("overview")}</h2>
          <Facts
            rows={[
              [t("id"), <code>{host.id}</code>],
              [t("agent"), <code>{host.node_id}</code>],
              [t("hypervisor"), `${host.hypervisor} (${host.driver})`],
              [t("arch"), host.arch],
              [t("version"), host.version ?? "–"],
              [t("last_seen"), <Heard at={host.last_seen_at} />],
            ]}
          />
        </section>
        <div>
          <BusyCard path={`host_nodes/${id}`} one={host} />
          <section className="card">
            <h2>{t("promised")}</h2>
            <p className="hint">{t("promised.what")}</p>
            <Meter label={t("cpu")} value={host.used_cpu_cores} of={host.offering_cpu_cores} />
            <Meter label={t("memory_gib")} value={gib(host.used_memory_size)} of={gib(host.offering_memory_size)} />
            <Meter label={t("disk_gib")} value={gib(host.used_disk_space_mb)} of={gib(host.offering_disk_space_mb)} />
          </section>
        </div>
      </div>
      {host.status === "online" && (
        <Suspense fallback={<Loading />}>
          <NodeMetrics path={`host_nodes/${id}`} />
        </Suspense>
      )}
      <section className="card">
        <h2>{t("instances")}</h2>
        <Listing<Instance>
          label={t("instances")}
          path="instances"
          query={{ host_node_id: id, state: "alive" }}
          id={(one) => one.id}
          empty={<Empty title={t("host.nobody")} />}
          columns={[
            { title: t("name"), cell: (one) => <Named to={`/instances/${one.id}`} id={one.id} name={one.display_name} /> },
            { title: t("state"), cell: (one) => <State state={one.state} /> },
            { title: t("account"), cell: (one) => <code>{one.account_id}</code> },
          ]}
        />
      </section>
      {can("operate") && <Loss key={id} host={host} />}
    </>
  );
}
