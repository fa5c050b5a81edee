// "Delete", asked once more. What stands against it is the API's to say, in the dialog.

import { useState } from "react";
import { useChange } from "../api/queries";
import { useWords } from "../words/use";
import { Dialog } from "./basics";
import { Failed } from "./states";

export function Remove({ path, name, done }: { path: string; name: string; done?: () => void }) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  const remove = useChange(() => {
    setOpen(false);
    done?.();
  });
  return (
    <>
      <button type="button" className="danger" onClick={() => setOpen(true)} aria-label={t("delete.name", { name })}>
        {t("delete")}
      </button>
      <Dialog title={t("delete")} open={open} close={() => setOpen(false)}>
        <p>{t("delete.really", { name })}</p>
        {remove.error && <Failed error={remove.error} />}
        <div className="actions">
          <button type="button" onClick={() => setOpen(false)}>
            {t("cancel")}
          </button>
          <button type="button" className="danger" disabled={remove.isPending} onClick={() => remove.mutate({ method: "DELETE", path })}>
            {t("delete.do")}
          </button>
        </div>
      </Dialog>
    </>
  );
}
