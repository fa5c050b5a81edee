// ストレージ, for operators: capacity, load and health at a glance, and whether a node takes new volumes.

import { Suspense, lazy } from "react";
import { useOne } from "../api/queries";
import type { StorageNode } from "../api/types";
import { Facts, Head, Help, Meter, Named } from "../parts/basics";
import { Busy, BusyCard, Heard } from "../parts/busy";
import { Empty, Failed, Loading } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Cordon, Health } from "./hosts";

/** Brings the charts. */
const NodeMetrics = lazy(() => import("./node-metrics"));

const gib = (mib: number) => Math.round(mib / 1024);

export function StoragePage() {
  const { t } = useWords();
  const { can } = useSession();
  return (
    <>
      <Head title={t("storage")} />
      <Help>{t("storage.help")}</Help>
      <Listing<StorageNode>
        label={t("storage")}
        path="storage_nodes"
        every={10_000}
        id={(one) => one.id}
        empty={<Empty title={t("none")} />}
        columns={[
          { title: t("storage_node"), cell: (one) => <Named to={`/storage/${one.id}`} id={one.id} name={one.display_name} /> },
          { title: t("state"), cell: (one) => <Health one={{ ...one, degraded: one.degraded ?? null }} /> },
          { title: t("kind"), cell: (one) => one.storage_type },
          { title: t("volumes"), cell: (one) => one.volumes, end: true },
          { title: t("node.busy"), cell: (one) => <Busy path={`storage_nodes/${one.id}`} one={{ ...one, last_seen_at: one.last_seen_at ?? null }} disk /> },
          { title: t("promised.disk"), cell: (one) => <Promised one={one} hideLabel /> },
          ...(can("operate")
            ? [{ title: t("actions"), cell: (one: StorageNode) => <Cordon path={`storage_nodes/${one.id}`} enabled={one.scheduling_enabled} /> }]
            : []),
        ]}
      />
    </>
  );
}

function Promised({ one, hideLabel = false }: { one: StorageNode; hideLabel?: boolean }) {
  const { t } = useWords();
  return <Meter label={t("disk_gib")} hideLabel={hideLabel} value={gib(one.used_disk_space_mb + (one.kept_disk_space_mb ?? 0))} of={gib(one.offering_disk_space_mb)} />;
}

export function StorageNodePage({ id }: { id: string }) {
  const { t } = useWords();
  const { can } = useSession();
  const path = `storage_nodes/${id}`;
  const found = useOne<StorageNode>(path, {}, { every: 10_000 });
  if (found.error && !found.data) return <Failed error={found.error} />;
  if (!found.data) return <Loading />;
  const node = found.data;
  return (
    <>
      <Head title={node.display_name || node.id} back={["/storage", t("storage")]}>
        <Health one={{ ...node, degraded: node.degraded ?? null }} />
        {can("operate") && <Cordon path={path} enabled={node.scheduling_enabled} />}
      </Head>
      <Help>{t("storage.help")}</Help>
      <div className="columns">
        <section className="card">
          <h2>{t("overview")}</h2>
          <Facts
            rows={[
              [t("id"), <code>{node.id}</code>],
              [t("agent"), <code>{node.node_id}</code>],
              [t("kind"), node.storage_type],
              [t("volumes"), node.volumes],
              [t("version"), node.version ?? "–"],
              [t("last_seen"), <Heard at={node.last_seen_at} />],
            ]}
          />
        </section>
        <div>
          <BusyCard path={path} one={{ ...node, last_seen_at: node.last_seen_at ?? null }} />
          <section className="card">
            <h2>{t("promised")}</h2>
            <p className="hint">{t("promised.storage")}</p>
            <Promised one={node} />
          </section>
        </div>
      </div>
      {node.status === "online" && (
        <Suspense fallback={<Loading />}>
          <NodeMetrics path={path} />
        </Suspense>
      )}
    </>
  );
}
