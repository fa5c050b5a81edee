// A volume leaves its machine: asked for, and by force where the guest holds it. Rule: what force costs is said before it is done.

import { useChange, useOne } from "../api/queries";
import type { Instance, Volume } from "../api/types";
import { Maker } from "../parts/maker";
import { Failed } from "../parts/states";
import { useWords } from "../words/use";

export function Detach({ one }: { one: Volume }) {
  const { t } = useWords();
  const change = useChange();
  return (
    <>
      <button type="button" disabled={change.isPending} onClick={() => change.mutate({ method: "PUT", path: `volumes/${one.id}/detach` })}>
        {t("detach")}
      </button>
      {change.error && <Failed error={change.error} />}
    </>
  );
}

/** Whether the guest that has it does not let it go: its instance says so. */
export function useHeld(one: Volume): boolean {
  const asked = one.state === "detaching" && one.instance_id != null;
  const instance = useOne<Instance>(`instances/${one.instance_id ?? ""}`, {}, { enabled: asked });
  return asked && instance.data?.failure?.code === "guest_holds_volume";
}

export function ForceDetach({ one }: { one: Volume }) {
  const { t } = useWords();
  return (
    <Maker danger label={t("detach.force")} change={() => ({ method: "PUT", path: `volumes/${one.id}/detach`, body: { force: true } })}>
      <p>
        <strong>{one.display_name || one.id}</strong> {t("detach.held")}
      </p>
      <p>{t("detach.first")}</p>
      <p>{t("detach.cost")}</p>
      <ul>
        <li>{t("detach.cost_off")}</li>
        <li>{t("detach.cost_lost")}</li>
        <li>{t("detach.cost_stays")}</li>
      </ul>
    </Maker>
  );
}
