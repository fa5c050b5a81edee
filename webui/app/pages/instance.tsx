// One machine: what it is, its verbs, its console and screen, its story, and why it is where it is.

import { useQuery } from "@tanstack/react-query";
import { type ReactNode, Suspense, lazy, useState } from "react";
import { useLocation } from "wouter";
import { type Refused, send } from "../api/client";
import { useChange, useOne } from "../api/queries";
import type { DeletePlan, Event, Instance, Placement } from "../api/types";
import { Dialog, Facts, Head, Help, State, Tabs } from "../parts/basics";
import { isGone, isMoving } from "../parts/moving";
import { Verdicts } from "../parts/placement";
import { Empty, Failed, Loading, Reason } from "../parts/states";
import { Waiting } from "../parts/waiting";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Timeline } from "./dashboard";
import { BackUp } from "./instance-backup";
import { Overview } from "./instance-overview";
import { Move } from "./move";

const Terminal = lazy(() => import("../consoles/terminal"));
const Screen = lazy(() => import("../consoles/screen"));
const Metrics = lazy(() => import("./metrics"));

type Tab = "overview" | "metrics" | "console" | "screen" | "timeline" | "placement";

export function InstancePage({ id }: { id: string }) {
  const { t } = useWords();
  const { can } = useSession();
  const [tab, setTab] = useState<Tab>("overview");
  const found = useOne<Instance>(`instances/${id}`);
  if (found.error && !found.data) return <Failed error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const one = found.data;
  const tabs: { id: Tab; label: string }[] = [
    { id: "overview", label: t("overview") },
    { id: "metrics", label: t("metrics") },
    ...(can("change") ? [{ id: "console" as const, label: t("console") }, { id: "screen" as const, label: t("screen") }] : []),
    { id: "timeline", label: t("timeline") },
    { id: "placement", label: t("why") },
  ];
  return (
    <>
      <Head title={one.display_name || one.id} back={["/instances", t("instances")]}>
        <State state={one.state} />
        {can("change") && <Verbs one={one} />}
      </Head>
      {one.failure && <Reason failure={one.failure} />}
      <Waiting
        id={id}
        moving={isMoving(one.state)}
        progress={one.progress}
        first={one.state === "pending" && one.host_node ? t("waiting.before", { host: one.host_node }) : undefined}
      />
      <Tabs tabs={tabs} at={tab} go={setTab} />
      <div role="tabpanel" aria-labelledby={`tab-${tab}`}>
        <Suspense fallback={<Loading />}>
          {tab === "overview" && <Overview one={one} />}
          {tab === "metrics" && (one.host_node && !isGone(one.state) ? <Metrics id={id} /> : <Empty title={t("metrics.no_host")} />)}
          {tab === "console" && <NeedsRunning one={one}>{<Terminal id={id} />}</NeedsRunning>}
          {tab === "screen" && <NeedsRunning one={one}>{<Screen id={id} />}</NeedsRunning>}
          {tab === "timeline" && <Story id={id} />}
          {tab === "placement" && <Why id={id} />}
        </Suspense>
      </div>
    </>
  );
}

function NeedsRunning({ one, children }: { one: Instance; children: ReactNode }) {
  const { t } = useWords();
  return one.state === "running" || one.state === "migrating" ? children : <Empty title={t("console.needs_running")} />;
}

function Verbs({ one }: { one: Instance }) {
  const { t } = useWords();
  const { can } = useSession();
  const change = useChange();
  const [asked, setAsked] = useState<"poweroff" | "reboot" | "delete" | null>(null);
  const put = (verb: string, body?: unknown) => change.mutate({ method: "PUT", path: `instances/${one.id}/${verb}`, body });
  const gone = isGone(one.state);
  return (
    <>
      {one.state === "halted" && (
        <button type="button" className="primary" disabled={change.isPending} onClick={() => put("poweron")}>
          {t("poweron")}
        </button>
      )}
      {one.state === "running" && (
        <>
          <button type="button" onClick={() => setAsked("reboot")}>
            {t("reboot")}
          </button>
          <button type="button" onClick={() => setAsked("poweroff")}>
            {t("poweroff")}
          </button>
          {can("operate") && <Move one={one} />}
        </>
      )}
      {(one.state === "running" || one.state === "halted") && <BackUp one={one} />}
      {!gone && (
        <button type="button" className="danger" onClick={() => setAsked("delete")}>
          {t("delete")}
        </button>
      )}
      {change.error && <Failed error={change.error} />}
      <Dialog title={t("poweroff")} open={asked === "poweroff"} close={() => setAsked(null)}>
        <p>{t("poweroff.ask", { n: 1 })}</p>
        <p className="hint">{t("poweroff.force_what")}</p>
        <div className="actions">
          <button type="button" onClick={() => { put("poweroff", { force: true }); setAsked(null); }}>
            {t("poweroff.force")}
          </button>
          <button type="button" className="primary" onClick={() => { put("poweroff", { force: false }); setAsked(null); }}>
            {t("poweroff")}
          </button>
        </div>
      </Dialog>
      <Dialog title={t("reboot")} open={asked === "reboot"} close={() => setAsked(null)}>
        <p>{t("reboot.ask", { n: 1 })}</p>
        <div className="actions">
          <button type="button" onClick={() => setAsked(null)}>
            {t("cancel")}
          </button>
          <button type="button" className="primary" onClick={() => { put("reboot"); setAsked(null); }}>
            {t("reboot")}
          </button>
        </div>
      </Dialog>
      <Deletion one={one} open={asked === "delete"} close={() => setAsked(null)} />
    </>
  );
}

/** What would go with it is asked of the API first. */
function Deletion({ one, open, close }: { one: Instance; open: boolean; close: () => void }) {
  const { t } = useWords();
  const [, go] = useLocation();
  const plan = useDeletePlan(one.id, open);
  const remove = useChange(() => go("/instances"));
  return (
    <Dialog title={t("delete")} open={open} close={close}>
      <p>
        <strong>{one.display_name || one.id}</strong> {t("delete.plan")}
      </p>
      {plan.error && <Failed error={plan.error} />}
      {plan.data && (
        <Facts
          rows={[
            [t("delete.detaches"), plan.data.detaches.join(", ") || t("none")],
            [t("delete.deletes"), (plan.data.deletes ?? []).join(", ") || t("none")],
            [t("delete.releases"), plan.data.releases.join(", ") || t("none")],
          ]}
        />
      )}
      {plan.data?.refusals?.map((refusal) => (
        <p key={refusal.reason} className="failed">
          {refusal.message} {refusal.next_step}
        </p>
      ))}
      {remove.error && <Failed error={remove.error} />}
      <div className="actions">
        <button type="button" onClick={close}>
          {t("cancel")}
        </button>
        <button type="button" className="danger" disabled={remove.isPending} onClick={() => remove.mutate({ method: "DELETE", path: `instances/${one.id}` })}>
          {t("delete.do")}
        </button>
      </div>
    </Dialog>
  );
}

/** A deletion's plan is a DELETE that deletes nothing: asked for when the question is open, never kept. */
function useDeletePlan(id: string, open: boolean) {
  return useQuery<DeletePlan, Refused>({
    queryKey: ["plan", "delete", id],
    queryFn: () => send<DeletePlan>("DELETE", `instances/${id}`, undefined, { plan: true }),
    enabled: open,
    staleTime: 0,
    gcTime: 0,
  });
}

function Story({ id }: { id: string }) {
  const { t } = useWords();
  const story = useOne<Event[]>(`instances/${id}/timeline`);
  if (story.error) return <Failed error={story.error} />;
  if (!story.data) return <Loading />;
  return story.data.length === 0 ? <Empty title={t("none")} /> : <Timeline events={[...story.data].reverse()} />;
}

function Why({ id }: { id: string }) {
  const { t } = useWords();
  const placement = useOne<Placement>(`instances/${id}/placement`);
  if (placement.error) return <Failed error={placement.error} />;
  if (!placement.data) return <Loading />;
  return (
    <section className="card">
      <p>{placement.data.host ? t("placement.on", { host: placement.data.host }) : t("placement.nowhere")}</p>
      <Help>{t("placement.help")}</Help>
      {placement.data.smallest_change?.sentence && <p>{placement.data.smallest_change.sentence}</p>}
      <Verdicts verdicts={placement.data.verdicts} left={placement.data.left_out ?? 0} />
    </section>
  );
}
