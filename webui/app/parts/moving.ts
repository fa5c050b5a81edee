// What states mean for what a page offers: which pass by themselves (an agent's answer ends them), and which are the end. Pure.

const STAY = new Set(["running", "halted", "terminated", "available", "attached", "deleted", "failed", "lost"]);

export function isMoving(state: string): boolean {
  return !STAY.has(state);
}

/** A machine on its way to its end, or there, is asked for nothing any more. */
export function isGone(state: string): boolean {
  return state === "terminated" || state === "shuttingdown";
}
