// The event stream: every page follows it. Rule: a stream that broke goes on where it was cut; where it cannot, everything
// on the page is looked at again. A silence longer than the keep-alive is a broken stream. Events only say *that*
// something changed; what it is now is asked of the API.

import type { QueryClient } from "@tanstack/react-query";
import { address, headers, refusal } from "./client";
import { reader } from "./frames";
import type { Event } from "./types";

export type Connection = "connecting" | "live" | "broken";

/** The API sends a comment every 15 s. */
const SILENCE_MAX_MS = 40_000;
const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 15_000;
/** Events of one change come together: one look for all of them. */
const GATHER_MS = 200;

/** By the prefix of an id: the lists and things that show it. */
const SHOWN_BY: Record<string, string[]> = {
  i: ["instances", "accounts", "network_vifs", "networks", "host_nodes"],
  vsc: ["volumes"],
  vol: ["volumes", "instances", "accounts", "storage_nodes"],
  bo: ["backup_objects", "volumes"],
  bkst: ["backup_storages", "backup_objects"],
  dnr: ["networks"],
  snap: ["volume_snapshots", "volumes"],
  rep: ["snapshot_replicas", "volumes"],
  wmi: ["images"],
  sg: ["security_groups"],
  nw: ["networks", "naming_nodes"],
  vif: ["network_vifs", "networks", "instances"],
  hn: ["host_nodes"],
  sn: ["storage_nodes"],
  ssh: ["ssh_key_pairs"],
  tok: ["tokens"],
  a: ["accounts"],
  u: ["users"],
};

/** Shown anew with whatever happens. */
const ALWAYS = ["jobs", "events"];

/** The first words of the queries an event concerns. */
export function concerned(event: Pick<Event, "resource">): string[] {
  const prefix = event.resource.split("-")[0] ?? "";
  return [...(SHOWN_BY[prefix] ?? Object.values(SHOWN_BY).flat()), ...ALWAYS];
}

export function follow(client: QueryClient, told: (connection: Connection, event?: Event) => void): () => void {
  const stop = new AbortController();
  const waiting = new Set<string>();
  let timer: number | undefined;
  const look = (words: string[]) => {
    words.forEach((word) => waiting.add(word));
    timer ??= window.setTimeout(() => {
      timer = undefined;
      for (const word of waiting) void client.invalidateQueries({ queryKey: [word] });
      waiting.clear();
    }, GATHER_MS);
  };
  void (async () => {
    let last = "";
    let pause = PAUSE_MS;
    told("connecting");
    while (!stop.signal.aborted) {
      try {
        const broke = last === "" && pause > PAUSE_MS;
        await listen(last, stop.signal, () => {
          told("live");
          pause = PAUSE_MS;
          if (broke) void client.invalidateQueries();
        }, (event) => {
          last = String(event.id);
          told("live", event);
          look(concerned(event));
        });
      } catch {
        // Said by the connection's mark; tried again below.
      }
      if (stop.signal.aborted) return;
      told("broken");
      await new Promise((resolve) => window.setTimeout(resolve, pause));
      pause = Math.min(pause * 2, PAUSE_MAX_MS);
    }
  })();
  return () => {
    stop.abort();
    window.clearTimeout(timer);
  };
}

async function listen(
  last: string,
  stop: AbortSignal,
  opened: () => void,
  heard: (event: Event) => void,
): Promise<void> {
  const own = new AbortController();
  const end = () => own.abort();
  stop.addEventListener("abort", end);
  let silence = window.setTimeout(end, SILENCE_MAX_MS);
  try {
    const more: Record<string, string> = { Accept: "text/event-stream" };
    if (last) more["Last-Event-ID"] = last;
    const response = await fetch(address("events"), { headers: headers(more), signal: own.signal });
    if (!response.ok || !response.body) throw await refusal(response);
    opened();
    const read = reader();
    const stream = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await stream.read();
      if (done) return;
      window.clearTimeout(silence);
      silence = window.setTimeout(end, SILENCE_MAX_MS);
      for (const frame of read(value)) heard(JSON.parse(frame.data) as Event);
    }
  } finally {
    window.clearTimeout(silence);
    stop.removeEventListener("abort", end);
  }
}
