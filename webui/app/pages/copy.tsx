// A backup or an image is copied to another place; the copy is a backup of its own.

import { useLocation } from "wouter";
import { useList } from "../api/queries";
import type { BackupStorage } from "../api/types";
import { Field } from "../parts/basics";
import { Maker } from "../parts/maker";
import { useWords } from "../words/use";

interface CopyProps {
  /** `images` or `backup_objects` and the id. */
  path: string;
  name: string;
  /** Where it is already. */
  kept?: string;
}

export function CopyTo({ path, name, kept }: CopyProps) {
  const { t } = useWords();
  const [, go] = useLocation();
  const storages = useList<BackupStorage>("backup_storages", { limit: 1000 });
  const others = (storages.data?.results ?? []).filter((one) => one.id !== kept);
  if (others.length === 0) return null;
  return (
    <Maker
      label={t("copy_to")}
      title={t("copy_to.title", { name })}
      done={() => go("/backups")}
      change={(field) => ({ method: "PUT", path: `${path}/copy_to`, body: { destination: field("destination"), display_name: field("name") } })}
    >
      <p>{t("copy_to.what")}</p>
      <Field label={t("copy_to.destination")}>
        {(id) => (
          <select id={id} name="destination" required>
            {others.map((one) => (
              <option key={one.id} value={one.id}>
                {one.display_name || one.id}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label={t("name")}>{(id) => <input id={id} name="name" defaultValue={name} required />}</Field>
    </Maker>
  );
}
