// ジョブ: what was asked of which agent, live: which try, what it waits for, how long it took.

import { useState } from "react";
import type { Job } from "../api/types";
import { Head, Help, State, Time } from "../parts/basics";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { Thing } from "../parts/thing";
import { moment } from "../words/format";
import { useWords } from "../words/use";

function seconds(from: string, to: string): number {
  return (moment(to).getTime() - moment(from).getTime()) / 1000;
}

/** In words, with the API's own beneath. */
function Kind({ kind }: { kind: string }) {
  const { word } = useWords();
  return (
    <span className="named">
      <span>{word("job", kind)}</span>
      <code className="quiet">{kind}</code>
    </span>
  );
}

export function JobsPage() {
  const { t, duration } = useWords();
  const [thing, setThing] = useState("");
  const took = (job: Job) =>
    // The API's moments are whole seconds.
    !job.finished_at ? "–" : job.finished_at === job.created_at ? t("under_a_second") : duration(seconds(job.created_at, job.finished_at));
  return (
    <>
      <Head title={t("jobs")} />
      <Help>{t("jobs.help")}</Help>
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label>
          {t("jobs.thing")}
          <input type="search" value={thing} placeholder="i-…" onChange={(event) => setThing(event.target.value.trim())} />
        </label>
      </form>
      <Listing<Job>
        label={t("jobs")}
        path="jobs"
        query={thing ? { thing } : {}}
        every={10_000}
        id={(one) => one.id}
        empty={<Empty title={t("jobs.empty")} />}
        columns={[
          { title: t("created"), cell: (one) => <Time at={one.created_at} /> },
          { title: t("kind"), cell: (one) => <Kind kind={one.kind} /> },
          { title: t("thing"), cell: (one) => <Thing id={one.thing} /> },
          { title: t("agent"), cell: (one) => one.agent },
          {
            title: t("state"),
            cell: (one) => (
              <>
                <State state={one.state} />
                {one.error && <p className="hint">{one.error.message}</p>}
                {one.due_at && <p className="hint">{t("jobs.again_at")} <Time at={one.due_at} /></p>}
              </>
            ),
          },
          { title: t("attempt"), cell: (one) => one.attempt, end: true },
          { title: t("took"), cell: (one) => took(one), end: true },
        ]}
      />
    </>
  );
}
