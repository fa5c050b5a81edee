// Whether a snapshot or a backup is marked to be kept: no schedule deletes it then.

import { useChange } from "../api/queries";
import { useWords } from "../words/use";
import { Failed } from "./states";

interface Markable {
  id: string;
  display_name?: string | null | undefined;
  kept?: boolean | undefined;
}

export function Kept({ one }: { one: Markable }) {
  const { t } = useWords();
  return one.kept ? <span className="tag">{t("kept")}</span> : null;
}

export function Keep({ path, one }: { path: string; one: Markable }) {
  const { t } = useWords();
  const change = useChange();
  const name = one.display_name || one.id;
  return (
    <>
      <button
        type="button"
        disabled={change.isPending}
        title={t("kept.help")}
        aria-label={t(one.kept ? "unkeep.name" : "keep.name", { name })}
        onClick={() => change.mutate({ method: "PUT", path, body: { kept: !one.kept } })}
      >
        {one.kept ? t("unkeep") : t("keep")}
      </button>
      {change.error && <Failed error={change.error} />}
    </>
  );
}
