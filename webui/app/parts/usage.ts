// Usage as rows of days: what each day held of cores, memory and disk, out of intervals. Pure.

import type { UsageInterval } from "../api/types";
import { moment } from "../words/format";

const DAY_MS = 86_400_000;

export interface Day {
  /** Seconds since 1970, the day's beginning (UTC). */
  at: number;
  core_hours: number;
  gib_hours: number;
  disk_gib_hours: number;
}

/** Each interval is cut at midnight (UTC) and at the ends of the time; what goes on is counted until `until`. */
export function days(intervals: UsageInterval[], since: Date, until: Date): Day[] {
  const first = Math.floor(since.getTime() / DAY_MS);
  const last = Math.ceil(until.getTime() / DAY_MS);
  const found = Array.from({ length: Math.max(0, last - first) }, (_, n): Day => ({
    at: ((first + n) * DAY_MS) / 1000,
    core_hours: 0,
    gib_hours: 0,
    disk_gib_hours: 0,
  }));
  for (const one of intervals) {
    const begin = Math.max(moment(one.begun_at).getTime(), since.getTime());
    const end = Math.min(one.ended_at ? moment(one.ended_at).getTime() : until.getTime(), until.getTime());
    for (const day of found) {
      const from = Math.max(begin, day.at * 1000);
      const hours = Math.max(0, Math.min(end, day.at * 1000 + DAY_MS) - from) / 3_600_000;
      day.core_hours += hours * one.cpu_cores;
      day.gib_hours += (hours * one.memory_size) / 1024;
      day.disk_gib_hours += (hours * one.disk_size) / 1024;
    }
  }
  return found;
}
