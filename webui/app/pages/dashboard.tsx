// ダッシュボード: what runs, what needs somebody, what is left of the quota, what happened just now.

import { Link } from "wouter";
import { useList, useOne } from "../api/queries";
import type { Account, Event, Finding, HostNode, Image, Instance, Volume } from "../api/types";
import { Head, Meter, Named, State, Time } from "../parts/basics";
import { Empty, Failed, Loading } from "../parts/states";
import { useSession } from "../session";
import { useWords } from "../words/use";

/** What the numbers are counted of; beyond, the lists have pages. */
const COUNTED = 1000;

export function DashboardPage() {
  const { t } = useWords();
  const { can, account } = useSession();
  const instances = useList<Instance>("instances", { state: "without_terminated", limit: COUNTED });
  const volumes = useList<Volume>("volumes", { limit: COUNTED });
  const images = useList<Image>("images", { limit: COUNTED });
  if (instances.error) return <Failed error={instances.error} again={() => void instances.refetch()} />;
  if (!instances.data) return <Loading />;
  const isNew = instances.data.total === 0;
  return (
    <>
      <Head title={t("dashboard")}>
        {can("change") && (
          <Link href="/instances/new" className="button primary">
            {t("launch")}
          </Link>
        )}
      </Head>
      {isNew && can("change") && <Welcome />}
      <Counts instances={instances.data.results} volumes={volumes.data?.total} images={images.data?.total} total={instances.data.total} />
      <div className="columns">
        <Needs instances={instances.data.results} volumes={volumes.data?.results ?? []} />
        <div>
          {account && account !== "all" && <Quota account={account} />}
          {can("inspect") && <Hosts />}
        </div>
      </div>
      <Latest />
    </>
  );
}

function Welcome() {
  const { t } = useWords();
  return (
    <section className="welcome">
      <h2>{t("welcome")}</h2>
      <p>{t("welcome.what")}</p>
      <p>
        <Link href="/instances/new" className="button primary">
          {t("welcome.launch")}
        </Link>{" "}
        <Link href="/guide">{t("welcome.guide")}</Link>
      </p>
    </section>
  );
}

interface CountsProps {
  instances: Instance[];
  total: number;
  volumes: number | undefined;
  images: number | undefined;
}

function Counts({ instances, total, volumes, images }: CountsProps) {
  const { t, number } = useWords();
  const running = instances.filter((one) => one.state === "running").length;
  const card = (to: string, name: string, value: number | undefined, note: string) => (
    <Link href={to} className="card count">
      <span>{name}</span>
      <strong>{value === undefined ? "…" : number(value)}</strong>
      <span className="quiet">{note}</span>
    </Link>
  );
  return (
    <div className="cards">
      {card("/instances", t("count.running"), running, t("count.of_instances", { n: total }))}
      {card("/volumes", t("volumes"), volumes, t("count.volumes"))}
      {card("/images", t("images"), images, t("count.images"))}
    </div>
  );
}

function Needs({ instances, volumes }: { instances: Instance[]; volumes: Volume[] }) {
  const { t } = useWords();
  const { can } = useSession();
  const findings = useOne<Finding[]>("audit", {}, { enabled: can("inspect"), every: 30_000 });
  const bad = [
    ...instances.filter((one) => one.failure || one.state === "failed").map((one) => ({ one, to: `/instances/${one.id}` })),
    ...volumes
      .filter((one) => one.failure || one.state === "failed" || one.state === "lost")
      .map((one) => ({ one, to: `/volumes/${one.id}` })),
  ];
  const found = findings.data ?? [];
  return (
    <section className="card">
      <h2>{t("needs")}</h2>
      {bad.length + found.length === 0 && <p className="fine">✓ {t("needs.nothing")}</p>}
      <ul className="plain-list">
        {bad.slice(0, 8).map(({ one, to }) => (
          <li key={one.id}>
            <Named to={to} id={one.id} name={one.display_name} /> <State state={one.state} />
            <p className="quiet">{one.failure?.sentence}</p>
          </li>
        ))}
        {found.slice(0, 5).map((finding) => (
          <li key={finding.id}>
            <Link href="/audit">{finding.sentence || finding.kind}</Link>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Quota({ account }: { account: string }) {
  const { t } = useWords();
  const quota = useOne<Account>(`accounts/${account}`);
  const used = useOne<Record<string, number>>(`accounts/${account}/usage`);
  if (!quota.data || !used.data) return null;
  const count = (name: string) => used.data?.[name] ?? 0;
  return (
    <section className="card">
      <h2>{t("quota")}</h2>
      <Meter label={t("instances")} value={count("instance.count")} of={quota.data.quota_instances} />
      <Meter label={t("volumes")} value={count("volume.count")} of={quota.data.quota_volumes} />
    </section>
  );
}

function Hosts() {
  const { t } = useWords();
  const hosts = useList<HostNode>("host_nodes", { limit: COUNTED }, { every: 15_000 });
  if (!hosts.data) return null;
  const sum = (of: (host: HostNode) => number) => hosts.data.results.reduce((all, host) => all + of(host), 0);
  return (
    <section className="card">
      <h2>
        <Link href="/hosts">{t("hosts")}</Link>
      </h2>
      <Meter
        label={t("hosts.online")}
        value={hosts.data.results.filter((host) => host.status === "online").length}
        of={hosts.data.total}
        allIsGood
      />
      <Meter label={t("cpu")} value={sum((host) => host.used_cpu_cores)} of={sum((host) => host.offering_cpu_cores)} />
      <Meter
        label={t("memory_gib")}
        value={Math.round(sum((host) => host.used_memory_size) / 1024)}
        of={Math.round(sum((host) => host.offering_memory_size) / 1024)}
      />
    </section>
  );
}

/** What was heard while the page is open, live. */
function Latest() {
  const { t } = useWords();
  const { latest } = useSession();
  return (
    <section className="card">
      <h2>{t("events")}</h2>
      {latest.length === 0 ? <Empty title={t("events.nothing")} /> : <Timeline events={latest.slice(0, 12)} />}
    </section>
  );
}

/** The API's sentence; the states in it in the page's words. */
export function told(event: Event, t: Words["t"], word: Words["word"]): string {
  const { from, to } = event.values ?? {};
  if (event.code === "state_changed" && from && to) {
    return t("event.state_changed", { from: word("state", from), to: word("state", to) });
  }
  return event.text || event.code;
}

type Words = ReturnType<typeof useWords>;

export function Timeline({ events }: { events: Event[] }) {
  const { t, word } = useWords();
  return (
    <ol className="timeline">
      {events.map((event) => (
        <li key={event.id}>
          <Time at={event.at} />
          <span>{told(event, t, word)}</span>
          <code className="quiet">{event.resource}</code>
        </li>
      ))}
    </ol>
  );
}
