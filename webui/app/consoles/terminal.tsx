// The serial console in the page (xterm.js): what was written before, then live; full screen; paste; any keyboard's text.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { useEffect, useRef, useState } from "react";
import { text } from "../api/client";
import { Failed } from "../parts/states";
import { useWords } from "../words/use";
import { open, ticketed } from "./line";

/** What of the past is shown before the present. */
const LOG_BYTES = 16_384;
/** The longest frame the API takes. */
const FRAME_BYTES = 32_768;

export default function TerminalPage({ id }: { id: string }) {
  const { t } = useWords();
  const place = useRef<HTMLDivElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const shown = useRef<Terminal | null>(null);
  const [state, setState] = useState<"opening" | "open" | "ended">("opening");
  const [error, setError] = useState<Error | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (!place.current) return;
    setError(null);
    setState("opening");
    const terminal = new Terminal({ convertEol: false, cursorBlink: true, fontSize: 14, scrollback: 5000, screenReaderMode: true });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    shown.current = terminal;
    terminal.open(place.current);
    fit.fit();
    const size = new ResizeObserver(() => fit.fit());
    size.observe(place.current);
    let over = false;
    let close = () => {};
    void (async () => {
      try {
        // A log's lines end without a carriage return, which a terminal needs.
        terminal.write((await text(`instances/${id}/console_log`, { bytes: LOG_BYTES }).catch(() => "")).replace(/\r?\n/g, "\r\n"));
        const { url, ticket } = await ticketed(id, "serial");
        if (over) return;
        const line = open(url, ticket, {
          opened: () => {
            setState("open");
            terminal.focus();
          },
          bytes: (bytes) => terminal.write(bytes),
          refused: setError,
          ended: () => !over && setState("ended"),
        });
        close = line.close;
        const encoder = new TextEncoder();
        terminal.onData((typed) => {
          if (line.socket.readyState !== WebSocket.OPEN) return;
          const bytes = encoder.encode(typed);
          for (let at = 0; at < bytes.length; at += FRAME_BYTES) line.socket.send(bytes.slice(at, at + FRAME_BYTES));
        });
      } catch (problem) {
        if (!over) {
          setError(problem as Error);
          setState("ended");
        }
      }
    })();
    return () => {
      over = true;
      close();
      size.disconnect();
      terminal.dispose();
    };
  }, [id, turn]);
  const paste = () => {
    // Refused by the browser's user: then there is nothing to paste.
    void navigator.clipboard.readText().then((words) => shown.current?.paste(words), () => {});
    shown.current?.focus();
  };
  // The keyboard is the machine's there: what was pressed last would take the space bar and Enter.
  const fill = () => void frame.current?.requestFullscreen().then(() => shown.current?.focus(), () => {});
  return (
    <section className="console">
      <div className="console-bar">
        <span role="status">{t(`console.${state}`)}</span>
        <span className="actions">
          {state === "ended" && (
            <button type="button" onClick={() => setTurn(turn + 1)}>
              {t("console.again")}
            </button>
          )}
          {/* A browser lets pages read what was copied only where they came by HTTPS or from this machine. */}
          {window.isSecureContext && (
            <button type="button" disabled={state !== "open"} onClick={paste}>
              {t("paste")}
            </button>
          )}
          <button type="button" onClick={fill}>
            {t("full_screen")}
          </button>
        </span>
      </div>
      {error && <Failed error={error} />}
      <div ref={frame} className="console-frame">
        <div ref={place} className="console-place" data-state={state} />
      </div>
      <p className="hint">{t("console.hint")}</p>
    </section>
  );
}
