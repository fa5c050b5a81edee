// One volume: where it is, its snapshots, its story.

import type { ReactNode } from "react";
import { useLocation } from "wouter";
import { useOne } from "../api/queries";
import type { Event, Volume, VolumeSnapshot } from "../api/types";
import { Facts, Field, Head, Help, Named, State, Time } from "../parts/basics";
import { Keep, Kept } from "../parts/keep";
import { Maker } from "../parts/maker";
import { isMoving } from "../parts/moving";
import { Remove } from "../parts/remove";
import { Empty, Failed, Loading, Reason } from "../parts/states";
import { Listing } from "../parts/table";
import { Waiting } from "../parts/waiting";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { BackupsOf } from "./backups";
import { Timeline } from "./dashboard";
import { useHeld } from "./detach";
import { Replicas, Replicate } from "./replicas";
import { SchedulesOf } from "./schedules";
import { PathOf } from "./volume-why";
import { VolumeVerbs } from "./volumes";

export function VolumePage({ id }: { id: string }) {
  const { t, bytes } = useWords();
  const { can } = useSession();
  const [, go] = useLocation();
  const found = useOne<Volume>(`volumes/${id}`);
  const story = useOne<Event[]>("events", { resource: id });
  if (found.error && !found.data) return <Failed error={found.error} />;
  if (!found.data) return <Loading />;
  const one = found.data;
  return (
    <>
      <Head title={one.display_name || one.id} back={["/volumes", t("volumes")]}>
        <State state={one.state} />
        {can("change") && <VolumeVerbs one={one} removed={() => go("/volumes")} />}
      </Head>
      {one.failure && <Reason failure={one.failure} />}
      {one.rollback?.failure && <Reason failure={one.rollback.failure} />}
      <Held one={one} />
      <Waiting id={one.id} moving={isMoving(one.state)} progress={one.progress} />
      <section className="card">
        <h2>{t("overview")}</h2>
        <Facts
          rows={[
            [t("id"), <code>{one.id}</code>],
            [t("size"), bytes(one.size)],
            [t("attached_to"), one.instance_id ? <Named to={`/instances/${one.instance_id}`} id={one.instance_id} /> : t("none")],
            [t("device"), one.guest_device_name ?? "–"],
            [t("storage_node"), one.storage_node_id ?? "–"],
            ...(one.backup_object_id ? [[t("backup.from"), <code>{one.backup_object_id}</code>] as [string, ReactNode]] : []),
            ...(one.snapshot_id ? [[t("snapshot.from"), <code>{one.snapshot_id}</code>] as [string, ReactNode]] : []),
            ...(one.replica_id ? [[t("replica.from"), <code>{one.replica_id}</code>] as [string, ReactNode]] : []),
            [t("created"), <Time at={one.created_at} />],
          ]}
        />
      </section>
      <section className="card">
        <h2>{t("snapshots")}</h2>
        <Help>{t("snapshots.help")}</Help>
        {can("change") && (
          <Maker
            label={t("snapshot.create")}
            change={(field) => ({ method: "POST", path: "volume_snapshots", body: { volume_id: id, display_name: field("name") } })}
          >
            <Field label={t("name")}>{(field) => <input id={field} name="name" required />}</Field>
          </Maker>
        )}
        <Snapshots volume={one} />
      </section>
      <Replicas volume={one} />
      <SchedulesOf volume={one} />
      <BackupsOf volume={one} />
      {can("inspect") && <PathOf volume={id} />}
      <section className="card">
        <h2>{t("timeline")}</h2>
        {(story.data ?? []).length === 0 ? <p className="quiet">{t("none")}</p> : <Timeline events={[...(story.data ?? [])].reverse()} />}
      </section>
    </>
  );
}

/** The refusal is the machine's to tell: the volume itself only waits. */
function Held({ one }: { one: Volume }) {
  const { t } = useWords();
  return useHeld(one) ? (
    <p className="note">
      {t("detach.held_here")} <Named to={`/instances/${one.instance_id}`} id={one.instance_id ?? ""} />
    </p>
  ) : null;
}

function Snapshots({ volume }: { volume: Volume }) {
  const { t, bytes } = useWords();
  const { can } = useSession();
  return (
    <Listing<VolumeSnapshot>
      label={t("snapshots")}
      path="volume_snapshots"
      query={{ volume_id: volume.id }}
      id={(one) => one.id}
      empty={<Empty title={t("snapshots.empty")} />}
      columns={[
        { title: t("name"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
        {
          title: t("state"),
          cell: (one) => (
            <>
              <State state={one.state} /> <Kept one={one} />
            </>
          ),
        },
        { title: t("size"), cell: (one) => bytes(one.size), end: true },
        { title: t("created"), cell: (one) => <Time at={one.created_at} /> },
        ...(can("change")
          ? [
              {
                title: t("actions"),
                cell: (one: VolumeSnapshot) => (
                  <span className="actions">
                    <Keep path={`volume_snapshots/${one.id}`} one={one} />
                    <Clone snapshot={one} />
                    <Replicate snapshot={one} />
                    <RollBack volume={volume} snapshot={one} />
                    <Remove path={`volume_snapshots/${one.id}`} name={one.display_name || one.id} />
                  </span>
                ),
              },
            ]
          : []),
      ]}
    />
  );
}

/** A volume of its own with what the snapshot holds. */
function Clone({ snapshot }: { snapshot: VolumeSnapshot }) {
  const { t } = useWords();
  const [, go] = useLocation();
  const name = snapshot.display_name || snapshot.id;
  if (snapshot.state !== "available") return null;
  return (
    <Maker<Volume>
      label={t("snapshot.clone")}
      title={t("snapshot.clone_title", { name })}
      change={(field) => ({
        method: "POST",
        path: "volumes",
        body: {
          display_name: field("name"),
          // Left out: as large as it was.
          ...(field("size") ? { volume_size: Math.round(Number(field("size")) * 1024) } : {}),
          snapshot_id: snapshot.id,
        },
      })}
      done={(volume) => go(`/volumes/${volume.id}`)}
    >
      <p>{t("snapshot.clone_what")}</p>
      <Field label={t("name")}>{(id) => <input id={id} name="name" defaultValue={name} required />}</Field>
      <Field label={t("volume.size")} hint={t("snapshot.clone_size")}>
        {(id) => <input id={id} name="size" type="number" min="1" step="1" />}
      </Field>
    </Maker>
  );
}

function RollBack({ volume, snapshot }: { volume: Volume; snapshot: VolumeSnapshot }) {
  const { t } = useWords();
  if (volume.state !== "available") return <span className="hint">{t("rollback.detach_first")}</span>;
  return (
    <Maker
      label={t("rollback")}
      change={(field) => ({
        method: "PUT",
        path: `volumes/${volume.id}/rollback`,
        body: { snapshot_id: snapshot.id, destroy_newer: field("newer") === "on" },
      })}
    >
      <p>{t("rollback.ask", { name: snapshot.display_name || snapshot.id })}</p>
      <label className="line">
        <input type="checkbox" name="newer" /> {t("rollback.newer")}
      </label>
    </Maker>
  );
}
