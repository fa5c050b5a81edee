// What a guest or a node used, as lines of a chart. Pure; the clock is an argument. The API tells ages, because no two machines' clocks agree:
// here they become moments of this browser's clock.

import type { InstanceUsage, UsagePoint } from "../api/types";

export type FigureOf<P> = Exclude<keyof P, "age_seconds">;
export type Figure = FigureOf<UsagePoint>;

export interface HistoryOf<P> {
  /** Seconds since 1970, ascending. */
  at: number[];
  of: (figure: FigureOf<P>) => (number | null)[];
}
export type History = HistoryOf<UsagePoint>;

/** A reading: its age, and numbers that may not be known. */
type Point = { age_seconds: number };

/** A reading that is older than this many rounds of its host is told as old. */
const LATE_ROUNDS = 3;

/** Two readings further apart than this have nothing drawn between them. */
const GAP_SECONDS = 150;

export function history<P extends Point>(usage: { history: P[] }, now: Date): HistoryOf<P> {
  const second = Math.round(now.getTime() / 1000);
  const rows: { at: number; point: P | null }[] = [];
  for (const point of usage.history) {
    const at = second - Math.round(point.age_seconds);
    const before = rows.at(-1);
    // The newest reading and the last of the minutes may be of the same second.
    if (before && at <= before.at) continue;
    if (before && at - before.at > GAP_SECONDS) rows.push({ at: before.at + 1, point: null });
    rows.push({ at, point });
  }
  return { at: rows.map((row) => row.at), of: (figure) => rows.map((row) => (row.point?.[figure] as number | null | undefined) ?? null) };
}

/** How old the newest reading is, where that is more than it should be; null: it is fresh. */
export function late(usage: Pick<InstanceUsage, "age_seconds" | "every_seconds">): number | null {
  const age = usage.age_seconds;
  return age != null && age > usage.every_seconds * LATE_ROUNDS ? age : null;
}

/** The newest value that was read, and the highest of all. */
export function summary(values: (number | null)[]): { last: number | null; highest: number | null } {
  const read = values.filter((value) => value !== null);
  return { last: read.at(-1) ?? null, highest: read.length > 0 ? Math.max(...read) : null };
}
