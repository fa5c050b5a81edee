// A text typed into a machine's screen. Rule: what is long, has several lines or holds what no key makes is shown first; what cannot be
// typed is told and nothing of the text is typed then; the layout that was chosen is remembered.

import { useEffect, useRef, useState } from "react";
import { Dialog, Field } from "../parts/basics";
import { useWords } from "../words/use";
import { LAYOUTS, type Layout, type SendKey, TEXT_MAX, needsAsking, presses, type } from "./keyboard";

const KEPT = "arame.keyboard";

function kept(): Layout | null {
  const word = localStorage.getItem(KEPT);
  return LAYOUTS.find((layout) => layout === word) ?? null;
}

interface PasteProps {
  /** Whether the screen is there. */
  open: boolean;
  send: SendKey;
  /** The keyboard goes back to the screen. */
  done: () => void;
}

interface Typing {
  done: number;
  all: number;
  stopped: boolean;
}

export function Paste({ open, send, done }: PasteProps) {
  const { t } = useWords();
  const [text, setText] = useState<string | null>(null);
  const [typing, setTyping] = useState<Typing | null>(null);
  const stop = useRef<AbortController | null>(null);
  // A screen that ended takes no key.
  useEffect(() => (open ? undefined : stop.current?.abort()), [open]);
  useEffect(() => () => stop.current?.abort(), []);
  const run = async (words: string, layout: Layout) => {
    setText(null);
    const { keys } = presses(words, layout);
    const control = new AbortController();
    stop.current = control;
    const told = (count: number) => setTyping({ done: count, all: keys.length, stopped: false });
    told(0);
    const count = await type(keys, send, told, control.signal);
    setTyping(count < keys.length ? { done: count, all: keys.length, stopped: true } : null);
    stop.current = null;
    done();
  };
  const begin = async () => {
    // Refused by the browser's user, or not to be had: the dialog has a place for it.
    const words = (await navigator.clipboard?.readText().catch(() => "")) ?? "";
    const layout = kept();
    if (layout && !needsAsking(words, layout)) await run(words, layout);
    else setText(words);
  };
  const busy = typing !== null && !typing.stopped;
  return (
    <>
      {typing && <span role="status">{t(typing.stopped ? "paste.stopped" : "paste.typing", { done: typing.done, all: typing.all })}</span>}
      {busy ? (
        <button type="button" onClick={() => stop.current?.abort()}>
          {t("paste.stop")}
        </button>
      ) : (
        <button type="button" disabled={!open} onClick={() => void begin()}>
          {t("paste")}
        </button>
      )}
      <Dialog title={t("paste.title")} open={text !== null} close={() => setText(null)}>
        <Ask text={text ?? ""} setText={setText} run={(words, layout) => void run(words, layout)} />
      </Dialog>
    </>
  );
}

interface AskProps {
  text: string;
  setText: (text: string | null) => void;
  run: (text: string, layout: Layout) => void;
}

function Ask({ text, setText, run }: AskProps) {
  const { t, word } = useWords();
  const [layout, setLayout] = useState<Layout>(kept() ?? "us");
  const { keys, refused, enters } = presses(text, layout);
  const tooLong = keys.length > TEXT_MAX;
  const choose = (word: string) => setLayout(LAYOUTS.find((one) => one === word) ?? "us");
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        localStorage.setItem(KEPT, layout);
        run(text, layout);
      }}
    >
      <Field label={t("paste.text")} hint={t("paste.text_hint")}>
        {(id, hint) => <textarea id={id} rows={6} spellCheck={false} value={text} aria-describedby={hint} onChange={(event) => setText(event.target.value)} />}
      </Field>
      <Field label={t("paste.layout")} hint={t("paste.layout_hint")}>
        {(id, hint) => (
          <select id={id} value={layout} aria-describedby={hint} onChange={(event) => choose(event.target.value)}>
            {LAYOUTS.map((one) => (
              <option key={one} value={one}>
                {word("layout", one)}
              </option>
            ))}
          </select>
        )}
      </Field>
      <div role="status">
        <p className="hint">{t("paste.count", { n: keys.length, enters })}</p>
        {refused.length > 0 && <p className="failed">{t("paste.refused", { what: refused.slice(0, 20).join(" ") })}</p>}
        {tooLong && <p className="failed">{t("paste.too_long", { most: TEXT_MAX })}</p>}
      </div>
      <div className="actions">
        <button type="button" onClick={() => setText(null)}>
          {t("cancel")}
        </button>
        <button type="submit" className="primary" disabled={keys.length === 0 || refused.length > 0 || tooLong}>
          {t("paste.type")}
        </button>
      </div>
    </form>
  );
}
