// ボリューム: disks that live longer than machines.

import { useList } from "../api/queries";
import type { Instance, Volume } from "../api/types";
import { Field, Head, Help, Named, State, Time } from "../parts/basics";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty } from "../parts/states";
import { type Column, Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Detach, ForceDetach, useHeld } from "./detach";

export function VolumesPage() {
  const { t } = useWords();
  const { can } = useSession();
  return (
    <>
      <Head title={t("volumes")}>{can("change") && <CreateVolume />}</Head>
      <Help>{t("volumes.help")}</Help>
      <Listing<Volume>
        label={t("volumes")}
        path="volumes"
        query={{ sort_by: "created_at.desc" }}
        id={(one) => one.id}
        columns={useColumns()}
        empty={<Empty title={t("volumes.empty")} />}
      />
    </>
  );
}

function useColumns(): Column<Volume>[] {
  const { t, bytes } = useWords();
  const { can } = useSession();
  const columns: Column<Volume>[] = [
    { title: t("name"), cell: (one) => <Named to={`/volumes/${one.id}`} id={one.id} name={one.display_name} /> },
    { title: t("state"), cell: (one) => <State state={one.state} /> },
    { title: t("size"), cell: (one) => bytes(one.size), end: true },
    {
      title: t("attached_to"),
      cell: (one) => (one.instance_id ? <Named to={`/instances/${one.instance_id}`} id={one.instance_id} /> : "–"),
    },
    { title: t("created"), cell: (one) => <Time at={one.created_at} /> },
  ];
  return can("change") ? [...columns, { title: t("actions"), cell: (one) => <VolumeVerbs one={one} /> }] : columns;
}

function CreateVolume() {
  const { t } = useWords();
  return (
    <Maker
      primary
      label={t("volume.create")}
      change={(field) => ({
        method: "POST",
        path: "volumes",
        body: { display_name: field("name"), volume_size: Math.round(Number(field("size")) * 1024) },
      })}
    >
      <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
      <Field label={t("volume.size")}>
        {(id) => <input id={id} name="size" type="number" min="1" step="1" defaultValue="10" required />}
      </Field>
    </Maker>
  );
}

export function VolumeVerbs({ one, removed }: { one: Volume; removed?: () => void }) {
  const held = useHeld(one);
  const goes = one.state === "attached" || one.state === "detaching" || one.state === "deleting";
  return (
    <span className="actions">
      {one.state === "available" && <Attach one={one} />}
      {one.state === "attached" && <Detach one={one} />}
      {held && <ForceDetach one={one} />}
      {!goes && <Remove path={`volumes/${one.id}`} name={one.display_name || one.id} {...(removed ? { done: removed } : {})} />}
    </span>
  );
}

function Attach({ one }: { one: Volume }) {
  const { t } = useWords();
  const instances = useList<Instance>("instances", { state: "without_terminated", limit: 1000 });
  const rows = instances.data?.results ?? [];
  return (
    <Maker
      label={t("attach")}
      title={t("attach.title", { name: one.display_name || one.id })}
      change={(field) => ({ method: "PUT", path: `volumes/${one.id}/attach`, body: { instance_id: field("instance") } })}
    >
      {rows.length === 0 && <p>{t("attach.no_instance")}</p>}
      <Field label={t("instance")}>
        {(id) => (
          <select id={id} name="instance" required>
            {rows.map((instance) => (
              <option key={instance.id} value={instance.id}>
                {instance.display_name ? `${instance.display_name} (${instance.id})` : instance.id}
              </option>
            ))}
          </select>
        )}
      </Field>
    </Maker>
  );
}
