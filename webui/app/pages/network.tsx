// One network: drawn with who is on it, what its machines are told, its names, and why one is (not) answered.

import { useState } from "react";
import { useLocation } from "wouter";
import { useChange, useList, useOne } from "../api/queries";
import type { DnsRecord, Instance, Network, NetworkVif } from "../api/types";
import { Dialog, Facts, Field, Head, Help, Meter, Named } from "../parts/basics";
import { Edit } from "../parts/edit";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty, Failed, Loading } from "../parts/states";
import { Listing, Table } from "../parts/table";
import { type Node, Topology } from "../parts/topology";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { ServedBy } from "./naming";
import { Why } from "./network-why";

/** Drawn at most; beyond, the table has them. */
const DRAWN = 60;

const RECORD_TYPES = ["A", "CNAME", "TXT", "SRV"];

export function NetworkPage({ id }: { id: string }) {
  const { t, word } = useWords();
  const { can } = useSession();
  const [, go] = useLocation();
  const found = useOne<Network>(`networks/${id}`);
  const vifs = useList<NetworkVif>(`networks/${id}/vifs`, { limit: 1000 });
  const instances = useList<Instance>("instances", { state: "alive", limit: 1000 });
  if (found.error && !found.data) return <Failed error={found.error} />;
  if (!found.data) return <Loading />;
  const network = found.data;
  const known = new Map((instances.data?.results ?? []).map((one) => [one.id, one]));
  const rows = vifs.data?.results ?? [];
  return (
    <>
      <Head title={network.display_name || network.id} back={["/networks", t("networks")]}>
        {can("change") && <Remove path={`networks/${id}`} name={network.display_name || id} done={() => go("/networks")} />}
      </Head>
      <Topology
        name={network.display_name || network.id}
        range={`${network.ipv4_network}/${network.prefix}`}
        nodes={nodesOf(network, rows, known, word)}
      />
      <div className="columns">
        <Overview network={network} />
        <section className="card">
          <h2>{t("addresses")}</h2>
          <Meter label={t("addresses.used")} value={network.addresses_used} of={network.addresses_total} />
          {rows.length === 0 ? <p className="quiet">{t("network.nobody")}</p> : <Addresses rows={rows} known={known} />}
        </section>
      </div>
      <ServedBy network={network} />
      <Records network={network} />
      <Why network={id} vifs={rows} />
    </>
  );
}

function Overview({ network }: { network: Network }) {
  const { t, word, duration } = useWords();
  const { can } = useSession();
  return (
    <section className="card">
      <h2>{t("overview")}</h2>
      <Facts
        rows={[
          [t("id"), <code>{network.id}</code>],
          [t("range"), <code>{`${network.ipv4_network}/${network.prefix}`}</code>],
          [t("gateway"), network.ipv4_gw ?? "–"],
          [t("dns"), network.dns_servers.join(", ") || (network.dns_server ?? "–")],
          [t("dhcp"), network.dhcp_server ?? "–"],
          [t("domain"), network.domain_name ?? "–"],
          [t("routes"), network.routes.join(", ") || "–"],
          [t("lease"), duration(network.lease_seconds)],
          [t("mode"), word("mode", network.network_mode)],
          [t("vlan"), network.vlan_tag ?? "–"],
          [t("mtu"), network.mtu],
          [t("dhcp_ranges"), network.dhcp_ranges.map((range) => range.join(" – ")).join(", ") || "–"],
          [t("network.outside"), network.nat_network_id ? (network.outside_ipv4 ?? t("network.outside_on")) : t("network.outside_off")],
        ]}
      />
      {can("change") && network.editable && (
        <div className="actions">
          <Settings network={network} />
          <Ranges network={network} />
        </div>
      )}
    </section>
  );
}

const words = (text: string) => text.split(/[\n,]+/).map((one) => one.trim()).filter(Boolean);

function Settings({ network }: { network: Network }) {
  const { t } = useWords();
  return (
    <Edit<Network>
      label={t("network.settings")}
      path={`networks/${network.id}`}
      body={(field) => ({
        display_name: field("name"),
        mtu: Number(field("mtu")),
        lease_seconds: Number(field("lease")),
        dns_servers: words(field("dns")),
        routes: words(field("routes")),
      })}
    >
      {(network) => (
        <>
          <p>{t("network.settings_what")}</p>
          <Field label={t("name")}>{(id) => <input id={id} name="name" defaultValue={network.display_name ?? ""} />}</Field>
          <Field label={t("dns")} hint={t("network.dns_hint")}>
            {(id, hint) => <input id={id} aria-describedby={hint} name="dns" defaultValue={network.dns_servers.join(", ")} />}
          </Field>
          <Field label={t("routes")} hint={t("network.routes_hint")}>
            {(id, hint) => <textarea id={id} aria-describedby={hint} name="routes" rows={3} defaultValue={network.routes.join("\n")} />}
          </Field>
          <Field label={t("network.lease_seconds")}>
            {(id) => <input id={id} name="lease" type="number" min="60" max="31536000" defaultValue={network.lease_seconds} required />}
          </Field>
          <Field label={t("mtu")}>
            {(id) => <input id={id} name="mtu" type="number" min="576" max="9216" defaultValue={network.mtu} required />}
          </Field>
        </>
      )}
    </Edit>
  );
}

/** Each range is added or taken away by itself: the API has no "all of them at once". */
function Ranges({ network }: { network: Network }) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  const change = useChange();
  const path = (verb: string) => `networks/${network.id}/dhcp_ranges/${verb}`;
  const send = (verb: string, begin: string, end: string) =>
    change.mutate({ method: "PUT", path: path(verb), body: { range_begin: begin, range_end: end } });
  return (
    <>
      <button type="button" onClick={() => { change.reset(); setOpen(true); }}>
        {t("ranges.change")}
      </button>
      <Dialog title={t("ranges.change")} open={open} close={() => setOpen(false)}>
        <p>{t("ranges.what")}</p>
        <ul className="plain-list">
          {network.dhcp_ranges.map(([begin = "", end = ""]) => (
            <li key={begin} className="pair">
              <code>
                {begin} – {end}
              </code>
              <button type="button" disabled={change.isPending} aria-label={t("ranges.remove", { range: `${begin} – ${end}` })} onClick={() => send("remove", begin, end)}>
                {t("rule.out")}
              </button>
            </li>
          ))}
        </ul>
        <form
          className="line-form"
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            send("add", String(form.get("begin")).trim(), String(form.get("end")).trim());
          }}
        >
          <Field label={t("ranges.begin")}>{(id) => <input id={id} name="begin" required />}</Field>
          <Field label={t("ranges.end")}>{(id) => <input id={id} name="end" required />}</Field>
          <button type="submit" className="primary" disabled={change.isPending}>
            {t("ranges.add")}
          </button>
        </form>
        {change.error && <Failed error={change.error} />}
      </Dialog>
    </>
  );
}

function Addresses({ rows, known }: { rows: NetworkVif[]; known: Map<string, Instance> }) {
  const { t } = useWords();
  return (
    <Table<NetworkVif>
      label={t("dhcp_table")}
      rows={rows}
      id={(one) => one.id}
      columns={[
        { title: t("address"), cell: (one) => <code>{one.ipv4_address ?? "–"}</code> },
        { title: t("mac"), cell: (one) => <code>{one.mac_addr}</code> },
        { title: t("hostname"), cell: (one) => one.hostname ?? "–" },
        {
          title: t("instance"),
          cell: (one) =>
            one.instance_id ? (
              <Named to={`/instances/${one.instance_id}`} id={one.instance_id} name={known.get(one.instance_id)?.display_name} />
            ) : (
              "–"
            ),
        },
      ]}
    />
  );
}

function Records({ network }: { network: Network }) {
  const { t, duration } = useWords();
  const { can } = useSession();
  const path = `networks/${network.id}/records`;
  return (
    <section className="card">
      <h2>{t("records")}</h2>
      <Help>{t("records.help")}</Help>
      {can("change") && (
        <Maker
          label={t("record.add")}
          change={(field) => ({
            method: "POST",
            path,
            body: { name: field("name"), type: field("type"), value: field("value"), ttl: field("ttl") ? Number(field("ttl")) : null },
          })}
        >
          <Field label={t("name")} hint={t("record.name_hint", { zone: network.domain_name ?? "" })}>
            {(id, hint) => <input id={id} aria-describedby={hint} name="name" required />}
          </Field>
          <Field label={t("kind")}>
            {(id) => (
              <select id={id} name="type">
                {RECORD_TYPES.map((one) => (
                  <option key={one}>{one}</option>
                ))}
              </select>
            )}
          </Field>
          <Field label={t("record.value")} hint={t("record.value_hint")}>
            {(id, hint) => <input id={id} aria-describedby={hint} name="value" required />}
          </Field>
          <Field label={t("record.ttl")} hint={t("record.ttl_hint")}>
            {(id, hint) => <input id={id} aria-describedby={hint} name="ttl" type="number" min="5" max="86400" />}
          </Field>
        </Maker>
      )}
      <Listing<DnsRecord>
        label={t("records")}
        path={path}
        id={(one) => one.id}
        empty={<Empty title={t("records.empty")} />}
        columns={[
          { title: t("name"), cell: (one) => <code>{one.dns_name}</code> },
          { title: t("kind"), cell: (one) => <code>{one.type}</code> },
          { title: t("record.value"), cell: (one) => <code>{one.value}</code> },
          { title: t("record.ttl"), cell: (one) => duration(one.ttl ?? network.ttl_seconds), end: true },
          ...(can("change")
            ? [{ title: t("actions"), cell: (one: DnsRecord) => <Remove path={`${path}/${one.id}`} name={one.dns_name} /> }]
            : []),
        ]}
      />
    </section>
  );
}

function nodesOf(network: Network, vifs: NetworkVif[], known: Map<string, Instance>, word: (group: string, code: string) => string): Node[] {
  const nodes: Node[] = [];
  if (network.ipv4_gw) nodes.push({ id: "gateway", label: word("service", "gateway"), address: network.ipv4_gw, kind: "gateway" });
  for (const service of network.network_services) {
    // The gateway stands there already.
    if (service.address && service.address !== network.ipv4_gw) {
      nodes.push({ id: `service-${service.name}`, label: word("service", service.name), address: service.address, kind: "service" });
    }
  }
  for (const vif of vifs.slice(0, DRAWN)) {
    if (!vif.instance_id) continue;
    const one = known.get(vif.instance_id);
    nodes.push({
      id: vif.instance_id,
      label: one?.display_name || vif.instance_id,
      address: vif.ipv4_address ?? "",
      kind: "instance",
      ...(one ? { state: one.state } : {}),
    });
  }
  return nodes;
}
