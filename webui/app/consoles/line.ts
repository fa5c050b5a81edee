// A console's line: a ticket, a WebSocket at the same place, the ticket as its first frame, then bytes. Rule: no ticket in a
// URL; a line that ended is not resumed but opened anew.

import { Refused, send } from "../api/client";
import type { ErrorBody, Schemas } from "../api/client";

export interface Line {
  socket: WebSocket;
  close: () => void;
}

export async function ticketed(id: string, kind: "serial" | "vnc"): Promise<{ url: string; ticket: string }> {
  const ticket = await send<Schemas["ConsoleTicket"]>("POST", `instances/${id}/console`, { kind });
  const url = new URL(ticket.websocket, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return { url: url.href, ticket: ticket.ticket ?? "" };
}

interface Heard {
  opened: () => void;
  bytes: (bytes: Uint8Array) => void;
  refused: (error: Refused) => void;
  ended: () => void;
}

export function open(url: string, ticket: string, heard: Heard): Line {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => socket.send(ticket);
  socket.onmessage = (event: MessageEvent<ArrayBuffer | string>) => {
    if (typeof event.data !== "string") return heard.bytes(new Uint8Array(event.data));
    const said = JSON.parse(event.data) as { opened?: string } & Partial<ErrorBody>;
    if (said.opened) heard.opened();
    else heard.refused(new Refused(400, said));
  };
  socket.onclose = () => heard.ended();
  return { socket, close: () => socket.close() };
}
