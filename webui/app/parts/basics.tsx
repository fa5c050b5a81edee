// The small parts every page is made of. Rule: nothing is told by colour alone; every control has a name.

import { type ReactNode, useEffect, useId, useRef, useState } from "react";
import { Link } from "wouter";
import { useWords } from "../words/use";

const TONES: Record<string, string> = {
  running: "good", available: "good", attached: "good", online: "good", done: "good", serving: "good", well: "good",
  failed: "bad", lost: "bad", offline: "bad", dead: "bad", silent: "bad", trouble: "bad",
  halted: "still", terminated: "still", deleted: "still", superseded: "still", cancelled: "still", refused: "still", absent: "still",
};
const MARKS: Record<string, string> = { good: "●", bad: "✕", still: "○", moving: "◐" };

/** A state: a mark, a colour and a word. What is none of the known ends is on its way. */
export function State({ state }: { state: string }) {
  const { word } = useWords();
  const tone = TONES[state] ?? "moving";
  return (
    <span className={`state ${tone}`}>
      <span aria-hidden="true">{MARKS[tone]}</span> {word("state", state)}
    </span>
  );
}

/** Moments are told as "3 minutes ago" with the exact one behind; the word grows older by itself. */
export function Time({ at }: { at: string | null | undefined }) {
  const { ago, date } = useWords();
  const now = useNow(at ? 15_000 : 0);
  if (!at) return <span className="quiet">–</span>;
  return (
    <time title={date(at)} dateTime={at}>
      {ago(at, now)}
    </time>
  );
}

export function useNow(every: number): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    if (!every) return;
    const timer = window.setInterval(() => setNow(new Date()), every);
    return () => window.clearInterval(timer);
  }, [every]);
  return now;
}

/** A thing by its name, with its id beneath. */
export function Named({ to, name, id }: { to?: string; name?: string | null | undefined; id: string }) {
  const shown = name || id;
  return (
    <span className="named">
      {to ? <Link href={to}>{shown}</Link> : <span>{shown}</span>}
      {name && name !== id && <code className="quiet">{id}</code>}
    </span>
  );
}

interface MeterProps {
  label: string;
  value: number;
  of: number | null | undefined;
  /** All of it is how it should be, as with hosts that answer; else a full one is a warning. */
  allIsGood?: boolean;
  /** Where the column above says it already. */
  hideLabel?: boolean;
  /** Said instead of the two numbers. */
  told?: string;
}

export function Meter({ label, value, of, allIsGood, hideLabel, told }: MeterProps) {
  const { number, t } = useWords();
  // Of nothing everything is used: a limit of zero is a limit.
  const part = of == null ? 0 : of === 0 ? 1 : Math.min(1, value / of);
  const tone = allIsGood ? (part < 1 ? "bad" : "good") : part > 0.9 ? "bad" : part > 0.75 ? "warm" : "good";
  return (
    <div className="meter">
      <div className="meter-words">
        <span className={hideLabel ? "hidden" : undefined}>{label}</span>
        <span>{told ?? (of != null ? `${number(value)} / ${number(of)}` : t("no_limit", { n: value }))}</span>
      </div>
      {of != null ? (
        <div className="meter-bar" role="meter" aria-label={label} aria-valuenow={value} aria-valuemin={0} aria-valuemax={of} {...(told ? { "aria-valuetext": told } : {})}>
          <span className={tone} style={{ width: `${part * 100}%` }} />
        </div>
      ) : null}
    </div>
  );
}

export function Bar({ percent, label }: { percent: number; label: string }) {
  return (
    <div className="bar">
      <progress max={100} value={percent} aria-label={label} />
      <span>{label}</span>
    </div>
  );
}

/** A sentence where a newcomer would stop. */
export function Help({ children }: { children: ReactNode }) {
  const { t } = useWords();
  return (
    <details className="help">
      <summary>{t("help")}</summary>
      <div>{children}</div>
    </details>
  );
}

interface FieldProps {
  label: string;
  hint?: ReactNode;
  children: (id: string, hint: string | undefined) => ReactNode;
}

export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children(id, hint ? `${id}-hint` : undefined)}
      {hint && (
        <p className="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
    </div>
  );
}

interface DialogProps {
  title: string;
  open: boolean;
  close: () => void;
  children: ReactNode;
}

/** The browser's own dialog: focus stays inside, Escape closes, what is behind is out of reach. */
export function Dialog({ title, open, close, children }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const { t } = useWords();
  useEffect(() => {
    if (open && !dialog.current?.open) dialog.current?.showModal();
    if (!open) dialog.current?.close();
  }, [open]);
  return (
    <dialog ref={dialog} aria-labelledby={id} onClose={close}>
      <header>
        <h2 id={id}>{title}</h2>
        <button type="button" className="plain" aria-label={t("close")} onClick={close}>
          ✕
        </button>
      </header>
      {open && children}
    </dialog>
  );
}

export function Copy({ text }: { text: string }) {
  const { t } = useWords();
  const [done, setDone] = useState(false);
  const copy = () => void navigator.clipboard?.writeText(text).then(() => setDone(true));
  return (
    <button type="button" className="plain" onClick={copy}>
      {done ? t("copied") : t("copy")}
    </button>
  );
}

export interface TabOf<T extends string> {
  id: T;
  label: string;
}

export function Tabs<T extends string>({ tabs, at, go }: { tabs: TabOf<T>[]; at: T; go: (id: T) => void }) {
  const move = (step: number) => {
    const next = tabs[(tabs.findIndex((tab) => tab.id === at) + step + tabs.length) % tabs.length];
    if (next) {
      go(next.id);
      document.getElementById(`tab-${next.id}`)?.focus();
    }
  };
  return (
    <div className="tabs" role="tablist">
      {tabs.map((tab) => (
        <button
          key={tab.id}
          id={`tab-${tab.id}`}
          type="button"
          role="tab"
          aria-selected={tab.id === at}
          tabIndex={tab.id === at ? 0 : -1}
          onClick={() => go(tab.id)}
          onKeyDown={(event) => {
            if (event.key === "ArrowRight") move(1);
            if (event.key === "ArrowLeft") move(-1);
          }}
        >
          {tab.label}
        </button>
      ))}
    </div>
  );
}

export function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {rows.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? "–"}</dd>
        </div>
      ))}
    </dl>
  );
}

interface HeadProps {
  title: ReactNode;
  children?: ReactNode;
  back?: [string, string];
  /** Of a part of a page, which has its own already. */
  level?: "h1" | "h2";
}

export function Head({ title, children, back, level: Title = "h1" }: HeadProps) {
  return (
    <header className="head">
      <div>
        {back && (
          <Link href={back[0]} className="back">
            ‹ {back[1]}
          </Link>
        )}
        <Title>{title}</Title>
      </div>
      <div className="actions">{children}</div>
    </header>
  );
}
