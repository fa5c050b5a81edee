// ネーミングサービス, for operators: who answers DHCP and DNS of which networks, who leads them outside, and who takes none.

import { Link } from "wouter";
import { useList } from "../api/queries";
import type { NamingNode, NamingService, Network } from "../api/types";
import { Head, Help, Named, State } from "../parts/basics";
import { Heard } from "../parts/busy";
import { Remove } from "../parts/remove";
import { Empty } from "../parts/states";
import { type Column, Listing, Table } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Cordon, Health } from "./hosts";

/** That one falls silent is told by no event. */
const EVERY_MS = 10_000;

export function NamingPage() {
  const { t } = useWords();
  const { can } = useSession();
  const networks = useList<Network>("networks", { limit: 1000 }, { every: EVERY_MS }).data?.results ?? [];
  const columns: Column<NamingNode>[] = [
    { title: t("naming.service"), cell: (one) => <Named id={one.id} /> },
    { title: t("naming.machine"), cell: (one) => <code>{one.node_id}</code> },
    { title: t("state"), cell: (one) => <Health one={{ ...one, degraded: one.degraded ?? null }} /> },
    { title: t("last_seen"), cell: (one) => <Heard at={one.last_seen_at} /> },
    { title: t("naming.serves"), cell: (one) => <Served networks={networks} agent={one.id} count={one.networks} /> },
  ];
  if (can("operate")) columns.push({ title: t("actions"), cell: (one) => <Verbs one={one} /> });
  return (
    <>
      <Head title={t("naming")} />
      <Help>{t("naming.help")}</Help>
      <Listing<NamingNode> label={t("naming")} path="naming_nodes" every={EVERY_MS} id={(one) => one.id} empty={<Empty title={t("naming.empty")} />} columns={columns} />
    </>
  );
}

/** Its networks, those it leads outside marked. Of more than were looked at only how many. */
function Served({ networks, agent, count }: { networks: Network[]; agent: string; count: number }) {
  const { t } = useWords();
  const of = (network: Network) => network.naming_services?.find((one) => one.agent === agent);
  const own = networks.filter(of);
  if (own.length < count) return <span>{t("naming.count", { n: count })}</span>;
  if (own.length === 0) return <span className="quiet">{t("naming.serves_none")}</span>;
  return (
    <ul className="plain-list">
      {own.map((network) => (
        <li key={network.id}>
          <Link href={`/networks/${network.id}`}>{network.display_name || network.id}</Link> <State state={of(network)?.state ?? ""} />
          {of(network)?.is_gateway && <span className="tag">{t("gateway")}</span>}
        </li>
      ))}
    </ul>
  );
}

function Verbs({ one }: { one: NamingNode }) {
  const { t } = useWords();
  const path = `naming_nodes/${one.id}`;
  return (
    <span className="actions">
      <Cordon path={path} enabled={one.scheduling_enabled} stop={t("naming.close")} go={t("naming.open")} />
      {one.status !== "online" && <Remove path={path} name={one.id} />}
    </span>
  );
}

/** On a network's own page: who answers its machines. */
export function ServedBy({ network }: { network: Network }) {
  const { t } = useWords();
  const services = network.naming_services ?? [];
  if (services.length === 0) return null;
  return (
    <section className="card">
      <h2>{t("naming.of_network")}</h2>
      <Help>{t("naming.help")}</Help>
      <Table<NamingService>
        label={t("naming.of_network")}
        rows={services}
        id={(one) => one.agent}
        columns={[
          { title: t("naming.service"), cell: (one) => <code>{one.agent}</code> },
          { title: t("state"), cell: (one) => <State state={one.state} /> },
          { title: t("gateway"), cell: (one) => (one.is_gateway ? `✓ ${t("naming.leads")}` : "–") },
          { title: t("naming.version"), cell: (one) => one.version ?? "–", end: true },
        ]}
      />
      {network.naming_services_wanted != null && (
        <p className="hint">{network.naming_services_wanted === 0 ? t("naming.wanted_all") : t("naming.wanted", { n: network.naming_services_wanted })}</p>
      )}
    </section>
  );
}
