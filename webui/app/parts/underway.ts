// What a thing waits for, out of its jobs, and how long that usually takes, out of those that ended. Pure.

import type { Job } from "../api/types";
import { moment } from "../words/format";

export interface Wait {
  job: Job;
  /** Whole seconds that such a job usually takes; null: too few have ended to say. */
  usually: number | null;
}

/** Fewer than this say nothing of what is usual. */
const ENOUGH = 3;

function isOpen(job: Job): boolean {
  return job.state === "open" || job.state === "published";
}

/** The middle one of how long jobs of a kind took. */
export function usually(kind: string, ended: Job[]): number | null {
  const took = ended
    .filter((job) => job.kind === kind && job.state === "done" && job.finished_at)
    .map((job) => (moment(job.finished_at ?? "").getTime() - moment(job.created_at).getTime()) / 1000)
    .sort((one, other) => one - other);
  return took.length < ENOUGH ? null : (took[Math.floor(took.length / 2)] ?? null);
}

/** The oldest job that is not answered: what comes after waits for it. */
export function waits(own: Job[], ended: Job[]): Wait | null {
  const open = own.filter(isOpen).sort((one, other) => one.id.localeCompare(other.id));
  const job = open[0];
  return job ? { job, usually: usually(job.kind, ended) } : null;
}
