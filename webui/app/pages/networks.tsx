// ネットワーク: those there are.

import { useLocation } from "wouter";
import { useList } from "../api/queries";
import type { DcNetwork, Network } from "../api/types";
import { Field, Head, Help, Meter, Named } from "../parts/basics";
import { Maker } from "../parts/maker";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

export function NetworksPage() {
  const { t, word } = useWords();
  const { account, can } = useSession();
  return (
    <>
      <Head title={t("networks")}>
        {can("change") && (account && account !== "all" ? <Create /> : <span className="quiet">{t("network.create_account")}</span>)}
      </Head>
      <Help>{t("networks.help")}</Help>
      <Listing<Network>
        label={t("networks")}
        path="networks"
        id={(one) => one.id}
        empty={<Empty title={t("networks.empty")} />}
        columns={[
          { title: t("name"), cell: (one) => <Named to={`/networks/${one.id}`} id={one.id} name={one.display_name} /> },
          { title: t("range"), cell: (one) => <code>{`${one.ipv4_network}/${one.prefix}`}</code> },
          { title: t("gateway"), cell: (one) => (one.ipv4_gw ? <code>{one.ipv4_gw}</code> : "–") },
          { title: t("mode"), cell: (one) => word("mode", one.network_mode) },
          { title: t("vlan"), cell: (one) => one.vlan_tag ?? "–", end: true },
          { title: t("addresses"), cell: (one) => <Meter label={t("addresses.used")} value={one.addresses_used} of={one.addresses_total} /> },
        ]}
      />
    </>
  );
}

/** `10.1.0.0/24` in its two parts; what is no range is the API's to refuse. */
export function rangeOf(text: string): { network: string; prefix: number } {
  const [network = "", prefix = ""] = text.split("/");
  return { network: network.trim(), prefix: Number(prefix) };
}

/** A network of one's own: its VLAN is chosen by the data center, its addresses are given out whole. */
function Create() {
  const { t } = useWords();
  const [, go] = useLocation();
  const found = useList<DcNetwork>("dc_networks", { limit: 1000 });
  const open = (found.data?.results ?? []).filter((one) => one.allow_new_networks);
  if (found.data && open.length === 0) return <span className="quiet">{t("network.create_nowhere")}</span>;
  return (
    <Maker<Network>
      primary
      label={t("network.create")}
      done={(network) => go(`/networks/${network.id}`)}
      change={(field) => ({
        method: "POST",
        path: "networks",
        body: {
          ...rangeOf(field("range")),
          dc_network: field("dc_network"),
          network_mode: "securitygroup",
          display_name: field("name"),
          dhcp_range: "default",
          editable: true,
          ...(field("gateway") ? { gw: field("gateway") } : {}),
        },
      })}
    >
      <p>{t("network.create_what")}</p>
      <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
      <Field label={t("range")} hint={t("network.range_hint")}>
        {(id, hint) => <input id={id} aria-describedby={hint} name="range" placeholder="10.1.0.0/24" pattern="[0-9.]+/[0-9]+" spellCheck={false} required />}
      </Field>
      <Field label={t("gateway")} hint={t("network.gateway_hint")}>
        {(id, hint) => <input id={id} aria-describedby={hint} name="gateway" placeholder="10.1.0.1" pattern="[0-9.]+" spellCheck={false} />}
      </Field>
      {open.length > 1 ? (
        <Field label={t("dc_network")}>
          {(id) => (
            <select id={id} name="dc_network">
              {open.map((one) => (
                <option key={one.id} value={one.id}>
                  {one.name || one.id}
                </option>
              ))}
            </select>
          )}
        </Field>
      ) : (
        <input type="hidden" name="dc_network" value={open[0]?.id ?? ""} />
      )}
    </Maker>
  );
}
