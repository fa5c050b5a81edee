// 複製: copies of snapshots on other storage nodes, which outlive their volume and become one again.

import { useLocation } from "wouter";
import { useList } from "../api/queries";
import type { SnapshotReplica, StorageNode, Volume, VolumeSnapshot } from "../api/types";
import { Bar, Field, Help, Named, State, Time } from "../parts/basics";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty, Reason } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

/** Of one volume's snapshots, or of all. */
export function Replicas({ volume }: { volume?: Volume }) {
  const { t, bytes } = useWords();
  const { can } = useSession();
  return (
    <section className="card">
      <h2>{t("replicas")}</h2>
      <Help>{t("replicas.help")}</Help>
      <Listing<SnapshotReplica>
        label={t("replicas")}
        path="snapshot_replicas"
        query={volume ? { volume_id: volume.id } : {}}
        id={(one) => one.id}
        empty={<Empty title={t("replicas.empty")} />}
        columns={[
          { title: t("id"), cell: (one) => <code>{one.id}</code> },
          { title: t("state"), cell: (one) => <Standing one={one} /> },
          { title: t("replica.of"), cell: (one) => <code>{one.snapshot_id || "–"}</code> },
          ...(volume
            ? []
            : [
                {
                  title: t("backup.of"),
                  cell: (one: SnapshotReplica) => <Named to={`/volumes/${one.volume_id}`} id={one.volume_id} />,
                },
              ]),
          { title: t("storage_node"), cell: (one) => <code>{one.storage_node_id}</code> },
          { title: t("size"), cell: (one) => bytes(one.size), end: true },
          { title: t("created"), cell: (one) => <Time at={one.created_at} /> },
          ...(can("change")
            ? [
                {
                  title: t("actions"),
                  cell: (one: SnapshotReplica) => (
                    <span className="actions">
                      <Revive replica={one} />
                      <Remove path={`snapshot_replicas/${one.id}`} name={one.id} />
                    </span>
                  ),
                },
              ]
            : []),
        ]}
      />
    </section>
  );
}

function Standing({ one }: { one: SnapshotReplica }) {
  const { t } = useWords();
  return (
    <>
      <State state={one.state} />
      {typeof one.percent === "number" && <Bar percent={one.percent} label={t("replica.comes", { percent: one.percent })} />}
      {one.failure && <Reason failure={one.failure} />}
    </>
  );
}

/** A volume of its own with what the replica holds, on the node that has it. */
function Revive({ replica }: { replica: SnapshotReplica }) {
  const { t } = useWords();
  const [, go] = useLocation();
  if (replica.state !== "available") return null;
  return (
    <Maker<Volume>
      label={t("snapshot.clone")}
      title={t("snapshot.clone_title", { name: replica.id })}
      change={(field) => ({
        method: "POST",
        path: "volumes",
        body: { display_name: field("name"), replica_id: replica.id },
      })}
      done={(volume) => go(`/volumes/${volume.id}`)}
    >
      <p>{t("replica.clone_what", { node: replica.storage_node_id })}</p>
      <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
    </Maker>
  );
}

/** Copies a snapshot to another storage node: a chosen one for who may see them, else the one with the most room. */
export function Replicate({ snapshot }: { snapshot: VolumeSnapshot }) {
  const { t } = useWords();
  const { can } = useSession();
  if (snapshot.state !== "available") return null;
  return (
    <Maker
      label={t("replica.make")}
      title={t("replica.make_title", { name: snapshot.display_name || snapshot.id })}
      change={(field) => ({
        method: "POST",
        path: "snapshot_replicas",
        body: { snapshot_id: snapshot.id, storage_node_id: field("node") || null },
      })}
    >
      <p>{t("replica.make_what")}</p>
      {can("operate") && <ChooseNode not={snapshot.storage_node_id} />}
    </Maker>
  );
}

function ChooseNode({ not }: { not: string }) {
  const { t } = useWords();
  const nodes = useList<StorageNode>("storage_nodes", { limit: 1000 });
  const others = (nodes.data?.results ?? []).filter((one) => one.id !== not);
  return (
    <Field label={t("storage_node")}>
      {(id) => (
        <select id={id} name="node">
          <option value="">{t("replica.any_node")}</option>
          {others.map((one) => (
            <option key={one.id} value={one.id}>
              {one.display_name || one.id}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}
