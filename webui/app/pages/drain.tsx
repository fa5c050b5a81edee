// Draining a host: it takes nothing new, and what runs on it is moved away one after the other. Rule: nothing is ever stopped;
// what cannot be moved is told with its reason. The plan is shown before anything is done.

import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { Refused, get, list, send } from "../api/client";
import type { HostNode, Instance, MovePlan } from "../api/types";
import { Bar, Dialog } from "../parts/basics";
import { NEXT_HOST, type Step, plan } from "../parts/draining";
import { askPlan, sum, timeWords } from "../parts/forecasting";
import { Failed, Loading } from "../parts/states";
import { useWords } from "../words/use";

/** A move that takes longer is told as not ended; it goes on. */
const MOVE_LIMIT_MS = 10 * 60_000;
const LOOK_MS = 1_000;

type Outcome = { kind: "moving" } | { kind: "moved"; to: string } | { kind: "stays"; why: string };

export function Drain({ host }: { host: HostNode }) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        {t("drain")}
      </button>
      <Dialog title={t("drain.title", { host: host.display_name || host.id })} open={open} close={() => setOpen(false)}>
        <Draining host={host} />
      </Dialog>
    </>
  );
}

function Draining({ host }: { host: HostNode }) {
  const { t } = useWords();
  const client = useQueryClient();
  const [steps, setSteps] = useState<Step[] | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const [outcomes, setOutcomes] = useState<Record<string, Outcome>>({});
  const [plans, setPlans] = useState<Record<string, MovePlan>>({});
  const [busy, setBusy] = useState(false);
  const closed = useRef(false);
  const begun = useRef(false);
  useEffect(() => {
    closed.current = false;
    Promise.all([
      list<HostNode>("host_nodes", { limit: 1000 }),
      list<Instance>("instances", { host_node_id: host.id, state: "alive", limit: 1000 }),
    ]).then(async ([hosts, instances]) => {
      const todo = plan(host.id, hosts.results, instances.results);
      setSteps(todo);
      for (const step of todo) {
        // What is being moved is measured no more.
        const isOver = () => closed.current || begun.current;
        if (isOver()) return;
        const found = await foreseen(step, isOver);
        if (found) setPlans((all) => ({ ...all, [step.instance.id]: found }));
      }
    }).catch(setError);
    return () => {
      closed.current = true;
    };
  }, [host.id]);
  const run = async (todo: Step[]) => {
    begun.current = true;
    setBusy(true);
    try {
      await send("PUT", `host_nodes/${host.id}`, { scheduling_enabled: false });
      for (const step of todo) {
        if (closed.current) return;
        const tell = (outcome: Outcome) => setOutcomes((all) => ({ ...all, [step.instance.id]: outcome }));
        tell({ kind: "moving" });
        tell(await away(step, host.id, () => closed.current, t));
      }
    } catch (problem) {
      setError(problem as Error);
    }
    setBusy(false);
    void client.invalidateQueries();
  };
  if (error) return <Failed error={error} />;
  if (!steps) return <Loading />;
  const told = Object.values(outcomes).filter((outcome) => outcome.kind !== "moving").length;
  const foretold = Object.values(plans).flatMap((one) => one.forecast ?? []);
  const all = sum(foretold);
  return (
    <>
      <p>{steps.length === 0 ? t("drain.empty") : t("drain.plan", { n: steps.length })}</p>
      <ul className="plain-list">
        {steps.map((step) => (
          <li key={step.instance.id}>
            <strong>{step.instance.display_name || step.instance.id}</strong>{" "}
            <span className="quiet">{outcomeWords(t, step, outcomes[step.instance.id], plans[step.instance.id])}</span>
          </li>
        ))}
      </ul>
      {foretold.length > 0 && (
        <p>
          {t("forecast.sum", { time: timeWords(t, all.forecast) })} {all.without > 0 && t("forecast.without", { n: all.without })}
        </p>
      )}
      {told > 0 && <Bar percent={(told / steps.length) * 100} label={`${told} / ${steps.length}`} />}
      <p className="hint">{t("drain.hint")}</p>
      <div className="actions">
        <button type="button" className="primary" disabled={busy || (told > 0 && told === steps.length)} onClick={() => void run(steps)}>
          {busy ? t("drain.busy") : t("drain.do")}
        </button>
      </div>
    </>
  );
}

type Say = ReturnType<typeof useWords>["t"];

/** Of the first host that would take it; none when each would refuse it, which the move itself then tells. */
async function foreseen(step: Step, isClosed: () => boolean): Promise<MovePlan | undefined> {
  for (const to of step.to) {
    // Without a forecast it can be moved as well.
    const found = await askPlan(step.instance.id, to, isClosed).catch(() => undefined);
    if (!found) return undefined;
    const refusal = found.refusals?.[0];
    if (!refusal) return found;
    if (!NEXT_HOST.includes(refusal.reason) || isClosed()) return undefined;
  }
  return undefined;
}

function outcomeWords(t: Say, step: Step, outcome: Outcome | undefined, plan: MovePlan | undefined): string {
  if (outcome?.kind === "moving") return t("drain.moving");
  if (outcome?.kind === "moved") return `✓ ${t("drain.moved", { to: outcome.to })}`;
  if (outcome?.kind === "stays") return `✕ ${outcome.why}`;
  if (step.stays) return `✕ ${t(`drain.${step.stays}`)}`;
  const forecast = plan?.forecast;
  if (!plan || !forecast) return `→ ${step.to[0] ?? ""}`;
  return [`→ ${plan.to}`, timeWords(t, forecast), forecast.why?.sentence].filter(Boolean).join(" · ");
}

async function away(step: Step, from: string, isClosed: () => boolean, t: Say): Promise<Outcome> {
  let why = step.stays ? t(`drain.${step.stays}`) : t("drain.no_host");
  for (const to of step.to) {
    try {
      await send("PUT", `instances/${step.instance.id}/move`, { host_node_id: to });
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      why = problem.message;
      if (NEXT_HOST.includes(problem.body.reason ?? "")) continue;
      return { kind: "stays", why };
    }
    const at = await settled(step.instance.id, isClosed);
    if (at !== from) return { kind: "moved", to: at };
    why = t("drain.came_back");
  }
  return { kind: "stays", why };
}

/** Where the machine is once it is on its way no more. */
async function settled(id: string, isClosed: () => boolean): Promise<string> {
  const end = Date.now() + MOVE_LIMIT_MS;
  for (;;) {
    const one = await get<Instance>(`instances/${id}`);
    if (one.state !== "migrating" || isClosed() || Date.now() > end) return one.host_node ?? "";
    await new Promise((resolve) => window.setTimeout(resolve, LOOK_MS));
  }
}
