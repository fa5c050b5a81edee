// What a thing that is on its way waits for: of whom what was asked, for how long, and how long that usually takes.

import { useList } from "../api/queries";
import type { Job, Progress } from "../api/types";
import { moment } from "../words/format";
import { useWords } from "../words/use";
import { Bar, useNow } from "./basics";
import { waits } from "./underway";

/** Jobs that say what is usual: the newest that ended well. */
const ENDED = 250;
/** A page looks again even where no event tells of it: a try that failed makes none. */
const EVERY_MS = 3_000;

interface WaitingProps {
  id: string;
  /** Whether it is in a state that passes. */
  moving: boolean;
  progress: Progress | null | undefined;
  /** What is waited for while no job of its own is on its way. */
  first?: string | undefined;
}

export function Waiting({ id, moving, progress, first }: WaitingProps) {
  return moving || progress ? <Underway id={id} progress={progress} first={first} /> : null;
}

function Underway({ id, progress, first }: Omit<WaitingProps, "moving">) {
  const { t, word, duration } = useWords();
  const now = useNow(1_000);
  const own = useList<Job>("jobs", { thing: id, state: "open", limit: 10 }, { every: EVERY_MS });
  const ended = useList<Job>("jobs", { state: "done", limit: ENDED });
  const wait = waits(own.data?.results ?? [], ended.data?.results ?? []);
  const before = own.data && !wait && !progress ? first : undefined;
  if (!wait && !progress && !before) return null;
  const since = wait ? Math.max(0, Math.round((now.getTime() - moment(wait.job.created_at).getTime()) / 1000)) : 0;
  return (
    <div className="waiting" role="status">
      {wait && (
        <p>
          <span className="spinner" aria-hidden="true" /> {t("waiting.for", { what: word("job", wait.job.kind), agent: wait.job.agent })}{" "}
          <span className="quiet" aria-hidden="true">
            {t("waiting.since", { time: duration(since) })}
            {wait.usually !== null && t("waiting.usually", { time: wait.usually < 1 ? t("under_a_second") : duration(wait.usually) })}
            {wait.job.attempt > 1 && t("waiting.attempt", { n: wait.job.attempt })}
            {t("waiting.end")}
          </span>
        </p>
      )}
      {before && (
        <p>
          <span className="spinner" aria-hidden="true" /> {before}
        </p>
      )}
      {progress && <Bar percent={progress.percent} label={`${progress.percent}%`} />}
      {progress?.note && <p className="hint">{progress.note}</p>}
    </div>
  );
}
