// Groups of hosts, for operators: who is in them, and how machines that are launched into one are placed.

import { useList } from "../api/queries";
import type { HostNode, NodeGroup } from "../api/types";
import { Field, Head, Help, Named } from "../parts/basics";
import { Edit } from "../parts/edit";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

export function HostGroups() {
  const { t, word } = useWords();
  const { can, account } = useSession();
  // A group belongs to somebody, though every operator may use it.
  const owned = account !== "" && account !== "all";
  return (
    <section className="card">
      <Head level="h2" title={t("host_groups")}>
        {can("operate") && !owned && <span className="hint">{t("host_group.choose_account")}</span>}
        {can("operate") && owned && (
          <Maker label={t("host_group.create")} change={(field) => ({ method: "POST", path: "host_node_groups", body: { name: field("name") } })}>
            <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
          </Maker>
        )}
      </Head>
      <Help>{t("host_groups.help")}</Help>
      <Listing<NodeGroup>
        label={t("host_groups")}
        path="host_node_groups"
        id={(one) => one.id}
        empty={<Empty title={t("host_groups.empty")} />}
        columns={[
          { title: t("name"), cell: (one) => <Named id={one.id} name={one.name} /> },
          { title: t("host_group.weight"), cell: (one) => word("weight", one.placement_weight || "default") },
          { title: t("hosts"), cell: (one) => one.mapped_uuids.join(", ") || t("none") },
          ...(can("operate") ? [{ title: t("actions"), cell: (one: NodeGroup) => <Verbs one={one} /> }] : []),
        ]}
      />
    </section>
  );
}

/** The empty word is what the installation does. */
const WEIGHTS = ["", "spread", "pack"] as const;

function Verbs({ one }: { one: NodeGroup }) {
  const { t, word } = useWords();
  const hosts = useList<HostNode>("host_nodes", { limit: 1000 });
  return (
    <span className="actions">
      <Edit<NodeGroup>
        label={t("host_group.change")}
        title={t("host_group.change_of", { name: one.name })}
        path={`host_node_groups/${one.id}`}
        body={(field, ticked) => ({ name: field("name"), placement_weight: field("weight"), host_nodes: ticked("host") })}
      >
        {(one) => (
          <>
            <Field label={t("name")}>{(id) => <input id={id} name="name" defaultValue={one.name} required />}</Field>
            <fieldset>
              <legend>{t("host_group.weight")}</legend>
              {WEIGHTS.map((weight) => (
                <label key={weight} className="line">
                  <input type="radio" name="weight" value={weight} defaultChecked={(one.placement_weight ?? "") === weight} /> {word("weight", weight || "default")}
                </label>
              ))}
            </fieldset>
            <fieldset>
              <legend>{t("hosts")}</legend>
              {(hosts.data?.results ?? []).map((host) => (
                <label key={host.id} className="line">
                  <input type="checkbox" name="host" value={host.id} defaultChecked={one.mapped_uuids.includes(host.id)} /> {host.display_name || host.id}
                </label>
              ))}
            </fieldset>
          </>
        )}
      </Edit>
      <Remove path={`host_node_groups/${one.id}`} name={one.name} />
    </span>
  );
}
