// Verbs on many machines at once: one after the other; what was refused is told by name, the others went through.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { type Method, send } from "../api/client";
import type { Key } from "../words/say";
import { useWords } from "../words/use";
import { Dialog } from "./basics";

interface Verb {
  name: Key;
  ask: Key;
  method: Method;
  path: (id: string) => string;
  body?: unknown;
  danger?: boolean;
}

const VERBS: Verb[] = [
  { name: "poweron", ask: "poweron.ask", method: "PUT", path: (id) => `instances/${id}/poweron` },
  { name: "poweroff", ask: "poweroff.ask", method: "PUT", path: (id) => `instances/${id}/poweroff`, body: { force: false } },
  { name: "reboot", ask: "reboot.ask", method: "PUT", path: (id) => `instances/${id}/reboot` },
  { name: "delete", ask: "delete.ask", method: "DELETE", path: (id) => `instances/${id}`, danger: true },
];

export function Bulk({ chosen, clear }: { chosen: ReadonlySet<string>; clear: () => void }) {
  const { t } = useWords();
  const client = useQueryClient();
  const [verb, setVerb] = useState<Verb | null>(null);
  const [done, setDone] = useState(0);
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState<[string, string][]>([]);
  const run = async (verb: Verb) => {
    setBusy(true);
    setRefused([]);
    setDone(0);
    const told: [string, string][] = [];
    for (const id of chosen) {
      await send(verb.method, verb.path(id), verb.body).catch((error: Error) => told.push([id, error.message]));
      setDone((count) => count + 1);
    }
    setBusy(false);
    setRefused(told);
    await client.invalidateQueries({ queryKey: ["instances"] });
    if (told.length === 0) {
      setVerb(null);
      clear();
    }
  };
  return (
    <div className="bulk" aria-live="polite">
      <span className="quiet">{chosen.size > 0 ? t("chosen", { n: chosen.size }) : t("chosen.none")}</span>
      {VERBS.map((one) => (
        <button
          key={one.name}
          type="button"
          className={one.danger ? "danger" : undefined}
          disabled={chosen.size === 0}
          onClick={() => {
            setRefused([]);
            setVerb(one);
          }}
        >
          {t(one.name)}
        </button>
      ))}
      <Dialog title={verb ? t(verb.name) : ""} open={verb !== null} close={() => setVerb(null)}>
        {verb && (
          <>
            <p>{t(verb.ask, { n: chosen.size })}</p>
            <p className="ids">{[...chosen].join(", ")}</p>
            {refused.length > 0 && (
              <div className="failed" role="alert">
                <p className="failed-title">{t("bulk.refused", { n: refused.length })}</p>
                <ul>
                  {refused.map(([id, why]) => (
                    <li key={id}>
                      <code>{id}</code> {why}
                    </li>
                  ))}
                </ul>
              </div>
            )}
            <div className="actions">
              <button type="button" onClick={() => setVerb(null)}>
                {t("cancel")}
              </button>
              <button type="button" className={verb.danger ? "danger" : "primary"} disabled={busy} onClick={() => void run(verb)}>
                {busy ? `${done} / ${chosen.size}` : t(verb.name)}
              </button>
            </div>
          </>
        )}
      </Dialog>
    </div>
  );
}
