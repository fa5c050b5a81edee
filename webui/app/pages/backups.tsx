// バックアップ: copies of volumes in another place; what is in them becomes a volume again.

import { useLocation } from "wouter";
import { useList } from "../api/queries";
import type { BackupObject, BackupStorage, Volume } from "../api/types";
import { Bar, Field, Head, Help, Named, State, Time } from "../parts/basics";
import { Keep, Kept } from "../parts/keep";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty, Reason } from "../parts/states";
import { type Column, Listing, Table } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { CopyTo } from "./copy";
import { Replicas } from "./replicas";

/** Of one volume shown at most: the newest. */
const SHOWN = 1000;

export function BackupsPage() {
  const { t } = useWords();
  return (
    <>
      <Head title={t("backups")} />
      <Help>{t("backups.help")}</Help>
      <Listing<BackupObject>
        label={t("backups")}
        path="backup_objects"
        query={{ sort_by: "created_at.desc" }}
        id={(one) => one.id}
        columns={useColumns(true)}
        empty={
          <Empty title={t("backups.empty")}>
            <p>{t("backups.how")}</p>
          </Empty>
        }
      />
      <Replicas />
    </>
  );
}

/** Those of one volume, and a new one. */
export function BackupsOf({ volume }: { volume: Volume }) {
  const { t } = useWords();
  const { can } = useSession();
  const columns = useColumns(false);
  const found = useList<BackupObject>("backup_objects", { sort_by: "created_at.desc", limit: SHOWN });
  const rows = (found.data?.results ?? []).filter((one) => one.source_volume_id === volume.id);
  return (
    <section className="card">
      <h2>{t("backups")}</h2>
      <Help>{t("backups.help")}</Help>
      {can("change") && <BackUp volume={volume} />}
      {rows.length === 0 ? (
        <Empty title={t("backups.empty")} />
      ) : (
        <Table<BackupObject> label={t("backups")} rows={rows} id={(one) => one.id} columns={columns} />
      )}
    </section>
  );
}

function BackUp({ volume }: { volume: Volume }) {
  const { t } = useWords();
  const storages = useList<BackupStorage>("backup_storages", { limit: SHOWN });
  const known = storages.data?.results ?? [];
  return (
    <Maker
      label={t("backup.make")}
      change={(field) => ({
        method: "PUT",
        path: `volumes/${volume.id}/backup`,
        body: { display_name: field("name"), backup_storage_id: field("storage") || null },
      })}
    >
      <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
      {known.length > 1 && (
        <Field label={t("backup.storage")}>
          {(id) => (
            <select id={id} name="storage">
              <option value="">{t("backup.storage_any")}</option>
              {known.map((one) => (
                <option key={one.id} value={one.id}>
                  {one.display_name || one.id}
                </option>
              ))}
            </select>
          )}
        </Field>
      )}
    </Maker>
  );
}

function useColumns(withVolume: boolean): Column<BackupObject>[] {
  const { t, bytes } = useWords();
  const { can } = useSession();
  const columns: Column<BackupObject>[] = [
    { title: t("name"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
    { title: t("state"), cell: (one) => <Standing one={one} /> },
    { title: t("size"), cell: (one) => bytes(one.size), end: true },
    { title: t("backup.stored"), cell: (one) => (one.state === "available" ? bytes(one.allocation_size) : "–"), end: true },
    { title: t("backup.storage"), cell: (one) => <code>{one.backup_storage_id}</code> },
    { title: t("created"), cell: (one) => <Time at={one.created_at} /> },
  ];
  if (withVolume) {
    columns.splice(2, 0, {
      title: t("backup.of"),
      cell: (one) =>
        one.source_volume_id ? (
          <Named to={`/volumes/${one.source_volume_id}`} id={one.source_volume_id} />
        ) : one.copied_from ? (
          <span>
            <code>{one.copied_from}</code> {t("backup.copy")}
          </span>
        ) : (
          t("backup.registered")
        ),
    });
  }
  if (!can("change")) return columns;
  return [...columns, { title: t("actions"), cell: (one) => <Verbs one={one} /> }];
}

function Standing({ one }: { one: BackupObject }) {
  const { t } = useWords();
  return (
    <>
      <State state={one.state} /> <Kept one={one} />
      {one.state === "creating" && <Bar percent={one.progress} label={t("backup.progress", { n: Math.round(one.progress) })} />}
      {one.failure && <Reason failure={one.failure} />}
    </>
  );
}

function Verbs({ one }: { one: BackupObject }) {
  const { t } = useWords();
  const [, go] = useLocation();
  const name = one.display_name || one.id;
  return (
    <span className="actions">
      {one.state === "available" && one.storage_node_id && (
        <Maker<Volume>
          label={t("backup.restore")}
          title={t("backup.restore_title", { name })}
          change={(field) => ({
            method: "POST",
            path: "volumes",
            body: {
              display_name: field("name"),
              // Left out: as large as it was.
              ...(field("size") ? { volume_size: Math.round(Number(field("size")) * 1024) } : {}),
              backup_object_id: one.id,
            },
          })}
          done={(volume) => go(`/volumes/${volume.id}`)}
        >
          <p>{t("backup.restore_what")}</p>
          <Field label={t("name")}>{(id) => <input id={id} name="name" defaultValue={name} required />}</Field>
          <Field label={t("volume.size")} hint={t("backup.restore_size")}>
            {(id) => <input id={id} name="size" type="number" min="1" step="1" />}
          </Field>
        </Maker>
      )}
      {one.state === "available" && one.storage_node_id && <CopyTo path={`backup_objects/${one.id}`} name={name} kept={one.backup_storage_id} />}
      {one.state !== "deleting" && <Keep path={`backup_objects/${one.id}`} one={one} />}
      {one.state !== "deleting" && <Remove path={`backup_objects/${one.id}`} name={name} />}
    </span>
  );
}
