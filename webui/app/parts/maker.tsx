// A button with a form behind it: what is filled in is sent as one change.

import { type ReactNode, useState } from "react";
import { type Change, useChange } from "../api/queries";
import { useWords } from "../words/use";
import { Dialog } from "./basics";
import { Failed } from "./states";

interface MakerProps<T> {
  label: string;
  title?: string;
  primary?: boolean;
  /** What is sent of the form's fields: of one by its name, or all that are ticked under a name. */
  change: (field: (name: string) => string, ticked: (name: string) => string[]) => Change;
  danger?: boolean;
  done?: (answer: T) => void;
  children: ReactNode;
}

export function Maker<T = unknown>({ label, title, primary, danger, change, done, children }: MakerProps<T>) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  const send = useChange<T>((answer) => {
    setOpen(false);
    done?.(answer);
  });
  return (
    <>
      <button type="button" className={primary ? "primary" : danger ? "danger" : undefined} onClick={() => { send.reset(); setOpen(true); }}>
        {label}
      </button>
      <Dialog title={title ?? label} open={open} close={() => setOpen(false)}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            send.mutate(change((name) => String(form.get(name) ?? "").trim(), (name) => form.getAll(name).map(String)));
          }}
        >
          {children}
          {send.error && <Failed error={send.error} />}
          <div className="actions">
            <button type="button" onClick={() => setOpen(false)}>
              {t("cancel")}
            </button>
            <button type="submit" className={danger ? "danger" : "primary"} disabled={send.isPending}>
              {title ?? label}
            </button>
          </div>
        </form>
      </Dialog>
    </>
  );
}
