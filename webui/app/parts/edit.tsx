// A button with a form behind it that changes what is there already. Rule: the form shows what was there when it was opened, and is
// saved only while that is still so: what somebody else changed meanwhile is told, and is never overwritten unseen.

import { type ReactNode, useEffect, useState } from "react";
import { Refused, type Tagged, getTagged } from "../api/client";
import { useChange } from "../api/queries";
import { useWords } from "../words/use";
import { Dialog } from "./basics";
import { Failed, Loading } from "./states";

interface EditProps<T> {
  label: string;
  title?: string;
  /** Of the one thing. */
  path: string;
  /** What is sent of the form's fields: of one by its name, or all that are ticked under a name. */
  body: (field: (name: string) => string, ticked: (name: string) => string[], one: T) => unknown;
  children: (one: T) => ReactNode;
}

export function Edit<T>({ label, title, ...form }: EditProps<T>) {
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        {label}
      </button>
      <Dialog title={title ?? label} open={open} close={() => setOpen(false)}>
        <Opened {...form} title={title ?? label} close={() => setOpen(false)} />
      </Dialog>
    </>
  );
}

/** What was there when it was asked for, once: no event changes it under the hands of whoever edits. */
export function useOpened<T>(path: string): { opened: Tagged<T> | null; turn: number; error: Refused | null; again: () => void } {
  const [turn, setTurn] = useState(0);
  const [opened, setOpened] = useState<Tagged<T> | null>(null);
  const [error, setError] = useState<Refused | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    setError(null);
    setOpened(null);
    getTagged<T>(path, stop.signal).then(setOpened, (problem: Refused) => !stop.signal.aborted && setError(problem));
    return () => stop.abort();
  }, [path, turn]);
  return { opened, turn, error, again: () => setTurn(turn + 1) };
}

type OpenedProps<T> = Omit<EditProps<T>, "label"> & { title: string; close: () => void };

function Opened<T>({ title, path, body, children, close }: OpenedProps<T>) {
  const { t } = useWords();
  const { opened, turn, error, again } = useOpened<T>(path);
  const save = useChange(close);
  if (error) return <Failed error={error} again={again} />;
  if (!opened) return <Loading />;
  const reload = () => {
    save.reset();
    again();
  };
  return (
    <form
      key={turn}
      onSubmit={(event) => {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        const wish = body((name) => String(form.get(name) ?? "").trim(), (name) => form.getAll(name).map(String), opened.one);
        save.mutate({ method: "PUT", path, body: wish, ifMatch: opened.tag });
      }}
    >
      {children(opened.one)}
      {save.error && <NotSaved error={save.error} reload={reload} />}
      <div className="actions">
        <button type="button" onClick={close}>
          {t("cancel")}
        </button>
        <button type="submit" className="primary" disabled={save.isPending}>
          {title}
        </button>
      </div>
    </form>
  );
}

/** A refusal; where somebody else was quicker, with a way to what is there now. */
export function NotSaved({ error, reload }: { error: Refused; reload: () => void }) {
  const { t } = useWords();
  if (error.status !== 412) return <Failed error={error} />;
  // The API tells of headers.
  const told = new Refused(412, { ...error.body, cause: t("conflict.cause"), next_step: t("conflict.next") });
  return <Failed error={told} again={reload} againLabel={t("conflict.reload")} />;
}
