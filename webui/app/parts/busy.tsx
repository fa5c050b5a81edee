// What a host or a storage node is busy with at this moment, small enough for a row of a list. Rule: a silent one is not asked and no
// number of it is shown: when it was heard last is.

import { useQuery } from "@tanstack/react-query";
import { type Refused, get } from "../api/client";
import type { HostNode, NodeUsage } from "../api/types";
import { useWords } from "../words/use";
import { Meter, Time } from "./basics";
import { late } from "./figures";
import { Failed } from "./states";

/** Agents read their machine every ten seconds. */
const EVERY_MS = 10_000;

/** Under a name of its own: what happens to machines is no reason to ask every host anew. */
export function useNodeUsage(path: string, enabled: boolean) {
  return useQuery<NodeUsage, Refused>({
    queryKey: ["node_usage", path],
    queryFn: ({ signal }) => get<NodeUsage>(`${path}/usage`, {}, signal),
    enabled,
    refetchInterval: EVERY_MS,
  });
}

export interface Load {
  /** Parts of all there is; null: not known. */
  cpu: number | null;
  memory: number | null;
  disk: number | null;
}

/** What of it is in use, as parts. */
export function loadOf(usage: NodeUsage): Load {
  const part = (all: number, free: number) => (all > 0 ? (all - free) / all : null);
  return {
    cpu: usage.cpu?.percent == null ? null : usage.cpu.percent / 100,
    memory: usage.memory ? part(usage.memory.bytes, usage.memory.available_bytes) : null,
    disk: usage.disk ? part(usage.disk.bytes, usage.disk.free_bytes) : null,
  };
}

/** When it was heard last, or that it never was. */
export function Heard({ at }: { at: string | null | undefined }) {
  const { t } = useWords();
  return at ? <Time at={at} /> : <span className="quiet">{t("node.never")}</span>;
}

interface BusyProps {
  path: string;
  one: Pick<HostNode, "status" | "last_seen_at">;
  /** The disk too: of a storage node it is what matters. */
  disk?: boolean;
}

export function Busy({ path, one, disk }: BusyProps) {
  const { t, percent, duration } = useWords();
  const heard = one.status === "online";
  const found = useNodeUsage(path, heard);
  if (!heard) {
    return (
      <span className="quiet">
        {one.last_seen_at && t("node.silent")} <Heard at={one.last_seen_at} />
      </span>
    );
  }
  if (!found.data) return <span className="quiet">{found.error ? t("node.unknown") : "…"}</span>;
  const load = loadOf(found.data);
  const old = late(found.data);
  const meter = (label: string, part: number | null) =>
    part !== null && <Meter label={label} value={Math.round(part * 100)} of={100} told={percent(part)} />;
  if (found.data.age_seconds == null) return <span className="quiet">{t("node.nothing_yet")}</span>;
  return (
    <div className="busy">
      {meter(t("node.cpu"), load.cpu)}
      {meter(t("node.memory"), load.memory)}
      {disk && meter(t("node.disk"), load.disk)}
      {old !== null && <p className="hint">{t("node.old", { age: duration(old) })}</p>}
    </div>
  );
}

/** The same as a card of a page, with the averages of load. */
export function BusyCard({ path, one }: Omit<BusyProps, "disk">) {
  const { t, number } = useWords();
  const found = useNodeUsage(path, one.status === "online");
  const load = one.status === "online" ? found.data?.load : undefined;
  return (
    <section className="card">
      <h2>{t("node.busy")}</h2>
      <Busy path={path} one={one} disk />
      {found.error && !found.data && <Failed error={found.error} again={() => void found.refetch()} />}
      {load && (
        <p className="hint">
          {t("node.load", { one: number(load.one_minute), five: number(load.five_minutes), fifteen: number(load.fifteen_minutes), n: found.data?.cpu?.cores ?? 0 })}
        </p>
      )}
    </section>
  );
}
