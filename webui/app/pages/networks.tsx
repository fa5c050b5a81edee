// ネットワーク: those there are.

import type { Network } from "../api/types";
import { Head, Help, Meter, Named } from "../parts/basics";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useWords } from "../words/use";

export function NetworksPage() {
  const { t } = useWords();
  return (
    <>
      <Head title={t("networks")} />
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
          { title: t("mode"), cell: (one) => one.network_mode },
          { title: t("vlan"), cell: (one) => one.vlan_tag ?? "–", end: true },
          { title: t("addresses"), cell: (one) => <Meter label={t("addresses.used")} value={one.addresses_used} of={one.addresses_total} /> },
        ]}
      />
    </>
  );
}
