// The machine's screen in the page (noVNC), text typed into it, and a picture of it to keep. The ticket is sent before noVNC gets the line.

import RFB from "@novnc/novnc";
import { useEffect, useRef, useState } from "react";
import { type ErrorBody, Refused, blob } from "../api/client";
import { Failed } from "../parts/states";
import { useWords } from "../words/use";
import { ticketed } from "./line";
import { Paste } from "./paste";

/** A line that has shown its ticket and was let in. */
async function letIn(url: string, ticket: string): Promise<WebSocket> {
  const socket = new WebSocket(url, ["binary"]);
  socket.binaryType = "arraybuffer";
  return new Promise((resolve, reject) => {
    socket.onopen = () => socket.send(ticket);
    socket.onclose = () => reject(new Refused(0, { reason: "offline" }));
    socket.onmessage = (event: MessageEvent<string>) => {
      socket.onclose = null;
      socket.onmessage = null;
      const said = JSON.parse(event.data) as { opened?: string } & Partial<ErrorBody>;
      if (said.opened) resolve(socket);
      else reject(new Refused(400, said));
    };
  });
}

export default function ScreenPage({ id }: { id: string }) {
  const { t } = useWords();
  const place = useRef<HTMLDivElement>(null);
  const screen = useRef<RFB | null>(null);
  const [state, setState] = useState<"opening" | "open" | "ended">("opening");
  const [error, setError] = useState<Error | null>(null);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let over = false;
    setError(null);
    setState("opening");
    void (async () => {
      try {
        const { url, ticket } = await ticketed(id, "vnc");
        const socket = await letIn(url, ticket);
        if (over || !place.current) return socket.close();
        const rfb = new RFB(place.current, socket);
        rfb.scaleViewport = true;
        rfb.background = "#000";
        rfb.addEventListener("connect", () => setState("open"));
        rfb.addEventListener("disconnect", () => !over && setState("ended"));
        screen.current = rfb;
      } catch (problem) {
        if (!over) {
          setError(problem as Error);
          setState("ended");
        }
      }
    })();
    return () => {
      over = true;
      screen.current?.disconnect();
      screen.current = null;
    };
  }, [id, turn]);
  // The keyboard is the machine's there: what was pressed last would take the space bar and Enter.
  const fill = () => void place.current?.requestFullscreen().then(() => screen.current?.focus(), () => {});
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
          <button type="button" disabled={state !== "open"} onClick={() => screen.current?.sendCtrlAltDel()}>
            Ctrl+Alt+Del
          </button>
          <Paste open={state === "open"} send={(...key) => screen.current?.sendKey(...key)} done={() => screen.current?.focus()} />
          <Picture id={id} />
          <button type="button" onClick={fill}>
            {t("full_screen")}
          </button>
        </span>
      </div>
      {error && <Failed error={error} />}
      <div ref={place} className="screen-place" data-state={state} />
    </section>
  );
}

function Picture({ id }: { id: string }) {
  const { t } = useWords();
  const [error, setError] = useState<Error | null>(null);
  const save = async () => {
    try {
      const url = URL.createObjectURL(await blob(`instances/${id}/screenshot.png`));
      const link = Object.assign(document.createElement("a"), { href: url, download: `${id}.png` });
      link.click();
      URL.revokeObjectURL(url);
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <>
      <button type="button" onClick={() => void save()}>
        {t("screenshot")}
      </button>
      {error && <Failed error={error} />}
    </>
  );
}
