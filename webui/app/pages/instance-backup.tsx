// A machine becomes an image: what others are launched from, as its disk is now. Rule: what kind of copy it is, is said before.

import { useState } from "react";
import { Link } from "wouter";
import { useList } from "../api/queries";
import type { BackupStorage, Instance, InstanceBackup } from "../api/types";
import { Dialog, Field } from "../parts/basics";
import { Maker } from "../parts/maker";
import { useWords } from "../words/use";

export function BackUp({ one }: { one: Instance }) {
  const { t } = useWords();
  const [made, setMade] = useState<InstanceBackup | null>(null);
  const storages = useList<BackupStorage>("backup_storages", { limit: 1000 });
  const known = storages.data?.results ?? [];
  return (
    <>
      <Maker<InstanceBackup>
        label={t("imaging")}
        done={setMade}
        change={(field, ticked) => ({
          method: "PUT",
          path: `instances/${one.id}/backup`,
          body: { display_name: field("name"), backup_storage_id: field("storage") || null, all: ticked("all").length > 0 },
        })}
      >
        <p>{t("imaging.what")}</p>
        <p>{one.state === "running" ? t("imaging.running") : t("imaging.halted")}</p>
        <Field label={t("imaging.name")}>{(id) => <input id={id} name="name" defaultValue={`${one.display_name || one.id}-image`} maxLength={255} required />}</Field>
        {one.volume.length > 0 && (
          <label className="line">
            <input type="checkbox" name="all" /> {t("imaging.all", { n: one.volume.length })}
          </label>
        )}
        {known.length > 1 && (
          <Field label={t("backup.storage")} hint={t("imaging.storage_hint")}>
            {(id, hint) => (
              <select id={id} name="storage" aria-describedby={hint}>
                <option value="">{t("imaging.storage_none")}</option>
                {known.map((storage) => (
                  <option key={storage.id} value={storage.id}>
                    {storage.display_name || storage.id}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
      </Maker>
      <Dialog title={t("imaging.begun")} open={made !== null} close={() => setMade(null)}>
        <p>
          <code>{made?.image_id}</code> {t("imaging.goes_on")}
        </p>
        <div className="actions">
          <Link href="/images" className="button primary">
            {t("imaging.see")}
          </Link>
        </div>
      </Dialog>
    </>
  );
}
