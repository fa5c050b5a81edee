// ダッシュボード: what runs, what needs somebody, what is left of the quota, what happened just now.

import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { get } from "../api/client";
import { useList, useOne } from "../api/queries";
import type { Account, Event, Finding, HostNode, Image, Instance, Volume } from "../api/types";
import { Head, Meter, Named, State, Time } from "../parts/basics";
import { Empty, Failed, Loading } from "../parts/states";
import { Thing } from "../parts/thing";
import { useSession } from "../session";
import { useWords } from "../words/use";

/** Of what needs somebody: the newest failures, and what changed last (a machine that runs may have something to say as well). */
const LOOKED_AT = 200;
/** A list's length, without its rows. */
const ONLY_COUNT = 1;
/** Hosts that are summed up. */
const HOSTS = 1000;

export function DashboardPage() {
  const { t } = useWords();
  const { can, account } = useSession();
  const instances = useList<Instance>("instances", { state: "alive", limit: ONLY_COUNT });
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
      <Counts total={instances.data.total} />
      <div className="columns">
        <Needs />
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

function Counts({ total }: { total: number }) {
  const { t, number } = useWords();
  const running = useList<Instance>("instances", { state: "running", limit: ONLY_COUNT });
  const volumes = useList<Volume>("volumes", { limit: ONLY_COUNT });
  const images = useList<Image>("images", { limit: ONLY_COUNT });
  const card = (to: string, name: string, value: number | undefined, note: string) => (
    <Link href={to} className="card count">
      <span>{name}</span>
      <strong>{value === undefined ? "…" : number(value)}</strong>
      <span className="quiet">{note}</span>
    </Link>
  );
  return (
    <div className="cards">
      {card("/instances", t("count.running"), running.data?.total, t("count.of_instances", { n: total }))}
      {card("/volumes", t("volumes"), volumes.data?.total, t("count.volumes"))}
      {card("/images", t("images"), images.data?.total, t("count.images"))}
    </div>
  );
}

type Thing = Pick<Instance | Volume | Image, "id" | "display_name" | "failure"> & { state: string };

/** Those that failed or say that something is wrong, each once. */
export function troubled<T extends Thing>(...lists: (T[] | undefined)[]): T[] {
  const found = new Map<string, T>();
  for (const one of lists.flatMap((list) => list ?? [])) {
    if (one.failure || one.state === "failed" || one.state === "lost") found.set(one.id, one);
  }
  return [...found.values()];
}

function useTroubled(path: string): { things: Thing[] | undefined; total: number } {
  const newest = useList<Thing>(path, { state: path === "instances" ? "alive" : undefined, sort_by: "updated_at.desc", limit: LOOKED_AT });
  const failed = useList<Thing>(path, { state: "failed", limit: LOOKED_AT });
  const things = newest.data && failed.data ? troubled(failed.data.results, newest.data.results) : undefined;
  // More failed than were asked for are counted all the same.
  const unseen = Math.max(0, (failed.data?.total ?? 0) - (failed.data?.results.length ?? 0));
  return { things, total: (things?.length ?? 0) + unseen };
}

const SHOWN = 8;

function Needs() {
  const { t } = useWords();
  const { can } = useSession();
  const instances = useTroubled("instances");
  const volumes = useTroubled("volumes");
  const findings = useOne<Finding[]>("audit", {}, { enabled: can("inspect"), every: 30_000 });
  const known = instances.things && volumes.things;
  const bad = [
    ...(instances.things ?? []).map((one) => ({ one, to: `/instances/${one.id}` })),
    ...(volumes.things ?? []).map((one) => ({ one, to: `/volumes/${one.id}` })),
  ];
  const found = findings.data ?? [];
  const unshown = instances.total + volumes.total - Math.min(SHOWN, bad.length);
  return (
    <section className="card">
      <h2>{t("needs")}</h2>
      {!known && <Loading />}
      {known && bad.length + found.length === 0 && <p className="fine">✓ {t("needs.nothing")}</p>}
      <ul className="plain-list">
        {bad.slice(0, SHOWN).map(({ one, to }) => (
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
      {unshown > 0 && <p className="quiet">{t("needs.more", { n: unshown })}</p>}
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
  const hosts = useList<HostNode>("host_nodes", { limit: HOSTS }, { every: 15_000 });
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

const EVENTS = 12;

/** What happened last, and what is heard while the page is open. */
function Latest() {
  const { t } = useWords();
  const { latest } = useSession();
  // Asked once: what comes after is heard.
  const before = useQuery<Event[]>({ queryKey: ["newest_events"], queryFn: () => get<Event[]>("events", { last: EVENTS }), staleTime: Infinity, gcTime: 0 });
  const known = new Set(latest.map((event) => event.id));
  const events = [...latest, ...[...(before.data ?? [])].reverse().filter((event) => !known.has(event.id))];
  return (
    <section className="card">
      <h2>{t("events")}</h2>
      {events.length === 0 ? <Empty title={t("events.nothing")} /> : <Timeline events={events.slice(0, EVENTS)} />}
    </section>
  );
}

/** The API's sentence; the states in it in the page's words. */
export function told(event: Event, t: Words["t"], word: Words["word"]): string {
  const { from, to, agent, kind } = event.values ?? {};
  if (event.code === "state_changed" && from && to) {
    return t("event.state_changed", { from: word("state", from), to: word("state", to) });
  }
  if (event.code === "job_done" && agent && kind) return t("event.job_done", { agent, what: word("job", kind) });
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
          <Thing id={event.resource} />
        </li>
      ))}
    </ol>
  );
}
