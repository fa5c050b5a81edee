// Schedules of a volume: what is made of it by itself, when, and what is kept. Rule: what a schedule would delete is shown before it is
// saved, as the API plans it.

import { useQuery } from "@tanstack/react-query";
import { Fragment, type ReactNode, useState } from "react";
import { type Refused, send } from "../api/client";
import { useChange, useList } from "../api/queries";
import { type Every, KEEPS, type SchedulePlan, type VolumeSchedule, WEEKDAYS, type Weekday } from "../api/schedules";
import type { Volume } from "../api/types";
import { Dialog, Field, Help, Named, Time } from "../parts/basics";
import { NotSaved, useOpened } from "../parts/edit";
import { Remove } from "../parts/remove";
import { type Wish, bodyOf, fresh, time, weekdayIn, wishOf } from "../parts/schedules";
import { Empty, Failed, Loading, Reason } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

const EVERY: readonly Every[] = ["hour", "day", "week"];

/** A schedule may be looked at with other eyes while a run goes on. */
const EVERY_MS = 15_000;

export function SchedulesOf({ volume }: { volume: Volume }) {
  const { t, word } = useWords();
  const { can } = useSession();
  const path = `volumes/${volume.id}/schedules`;
  const when = useWhen();
  const kept = useKept();
  const known = useList<VolumeSchedule>(path, { limit: 1 });
  // A manager of an older version has none.
  if (!known.data || known.error?.status === 404) return null;
  return (
    <section className="card">
      <h2>{t("schedules")}</h2>
      <Help>{t("schedules.help")}</Help>
      {can("change") && <Change path={path} />}
      <Listing<VolumeSchedule>
        label={t("schedules")}
        path={path}
        every={EVERY_MS}
        id={(one) => one.id}
        empty={<Empty title={t("schedules.empty")} />}
        columns={[
          { title: t("name"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
          { title: t("schedule.makes"), cell: (one) => <span className="unbroken">{word("makes", one.makes)}</span> },
          { title: t("schedule.when"), cell: when },
          { title: t("schedule.keeps"), cell: kept },
          { title: t("schedule.next"), cell: (one) => (one.enabled ? <Time at={one.next_run} /> : t("schedule.off")) },
          { title: t("schedule.last"), cell: (one) => <LastRun one={one} /> },
          ...(can("change") ? [{ title: t("actions"), cell: (one: VolumeSchedule) => <Verbs path={path} one={one} /> }] : []),
        ]}
      />
    </section>
  );
}

function useWhen(): (one: VolumeSchedule) => string {
  const { t, language } = useWords();
  return (one) => {
    const zone = one.time_zone;
    if (one.every === "hour") return t("schedule.hourly", { minute: String(one.minute) });
    if (one.every === "day") return t("schedule.daily", { time: time(one), zone });
    return t("schedule.weekly", { weekday: weekdayIn(language, one.weekday ?? "sunday"), time: time(one), zone });
  };
}

function useKept(): (one: VolumeSchedule) => ReactNode {
  const { t } = useWords();
  return (one) => {
    const told = KEEPS.filter((keep) => one[keep] > 0);
    if (told.length === 0) return t("schedule.keeps_all");
    // A line ends between two of them, never within one.
    return told.map((keep, at) => (
      <Fragment key={keep}>
        <span className="unbroken">
          {t(`${keep}.n`, { n: one[keep] })}
          {at < told.length - 1 && t("schedule.and").trimEnd()}
        </span>{" "}
      </Fragment>
    ));
  };
}

function LastRun({ one }: { one: VolumeSchedule }) {
  const { t, word } = useWords();
  const run = one.last_run;
  if (!run) return t("schedule.never");
  return (
    <>
      <p>
        {word("run", run.result)} <Time at={run.ended_at ?? run.scheduled_for} />
      </p>
      {run.missed > 0 && <p className="hint">{t("schedule.missed", { n: run.missed })}</p>}
      {run.failure && <Reason failure={run.failure} />}
    </>
  );
}

function Verbs({ path, one }: { path: string; one: VolumeSchedule }) {
  const { t } = useWords();
  const change = useChange();
  const toggle = () => change.mutate({ method: "PUT", path: `${path}/${one.id}`, body: { enabled: !one.enabled } });
  return (
    <span className="actions">
      <Change path={path} one={one} />
      <button type="button" disabled={change.isPending} onClick={toggle}>
        {one.enabled ? t("schedule.pause") : t("schedule.resume")}
      </button>
      <Remove path={`${path}/${one.id}`} name={one.display_name || one.id} />
      {change.error && <Failed error={change.error} />}
    </span>
  );
}

function Change({ path, one }: { path: string; one?: VolumeSchedule }) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  const title = one ? t("schedule.change") : t("schedule.create");
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        {title}
      </button>
      <Dialog title={title} open={open} close={() => setOpen(false)}>
        {one ? <Opened path={path} id={one.id} title={title} close={() => setOpen(false)} /> : <Form path={path} title={title} close={() => setOpen(false)} />}
      </Dialog>
    </>
  );
}

interface FormProps {
  path: string;
  one?: VolumeSchedule;
  /** Of the version that is edited. */
  tag?: string | undefined;
  /** To what is there now, where somebody else changed it. */
  reload?: () => void;
  title: string;
  close: () => void;
}

function Opened({ path, id, title, close }: { path: string; id: string; title: string; close: () => void }) {
  const { opened, turn, error, again } = useOpened<VolumeSchedule>(`${path}/${id}`);
  if (error) return <Failed error={error} again={again} />;
  if (!opened) return <Loading />;
  return <Form key={turn} path={path} one={opened.one} tag={opened.tag} reload={again} title={title} close={close} />;
}

function Form({ path, one, tag, reload, title, close }: FormProps) {
  const { t, word, language } = useWords();
  const [wish, setWish] = useState<Wish>(() => (one ? wishOf(one) : fresh(Intl.DateTimeFormat().resolvedOptions().timeZone)));
  const set = (change: Partial<Wish>) => setWish({ ...wish, ...change });
  const save = useChange(close);
  const method = one ? "PUT" : "POST";
  const target = one ? `${path}/${one.id}` : path;
  const body = bodyOf(wish, !one);
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        save.mutate({ method, path: target, body, ifMatch: tag });
      }}
    >
      <Field label={t("name")}>{(id) => <input id={id} value={wish.name} required onChange={(event) => set({ name: event.target.value })} />}</Field>
      {!one && (
        <fieldset>
          <legend>{t("schedule.makes")}</legend>
          {(["backup", "snapshot"] as const).map((makes) => (
            <label key={makes} className="line">
              <input type="radio" name="makes" checked={wish.makes === makes} onChange={() => set({ makes })} /> {word("makes", makes)} <span className="quiet">{t(`makes.${makes}_why`)}</span>
            </label>
          ))}
        </fieldset>
      )}
      <div className="line-form">
        <Field label={t("schedule.every")}>
          {(id) => (
            <select id={id} value={wish.every} onChange={(event) => set({ every: event.target.value as Every })}>
              {EVERY.map((every) => (
                <option key={every} value={every}>
                  {word("every", every)}
                </option>
              ))}
            </select>
          )}
        </Field>
        {wish.every === "week" && (
          <Field label={t("schedule.weekday")}>
            {(id) => (
              <select id={id} value={wish.weekday} onChange={(event) => set({ weekday: event.target.value as Weekday })}>
                {WEEKDAYS.map((weekday) => (
                  <option key={weekday} value={weekday}>
                    {weekdayIn(language, weekday)}
                  </option>
                ))}
              </select>
            )}
          </Field>
        )}
        <Field label={wish.every === "hour" ? t("schedule.minute") : t("schedule.time")}>
          {(id) => <input id={id} type="time" required value={wish.time} onChange={(event) => set({ time: event.target.value || "00:00" })} />}
        </Field>
        <Field label={t("schedule.zone")}>{(id) => <input id={id} value={wish.zone} required onChange={(event) => set({ zone: event.target.value })} />}</Field>
      </div>
      <fieldset>
        <legend>{t("schedule.keeps")}</legend>
        <p className="hint">{t("schedule.keeps_hint")}</p>
        <div className="keeps">
          {KEEPS.map((keep) => (
            <label key={keep}>
              {t(keep)}
              <input type="number" min="0" max="8784" value={wish.keeps[keep]} onChange={(event) => set({ keeps: { ...wish.keeps, [keep]: Number(event.target.value) } })} />
            </label>
          ))}
        </div>
      </fieldset>
      <Planned method={method} path={target} body={body} />
      {save.error && (reload ? <NotSaved error={save.error} reload={reload} /> : <Failed error={save.error} />)}
      <div className="actions">
        <button type="button" onClick={close}>
          {t("cancel")}
        </button>
        <button type="submit" className="primary" disabled={save.isPending}>
          {title}
        </button>
      </div>
    </form>
  );
}

function Planned({ method, path, body }: { method: "POST" | "PUT"; path: string; body: Record<string, unknown> }) {
  const { t, date } = useWords();
  // A name changes nothing of it.
  const wish = { ...body, display_name: "plan" };
  const plan = useQuery<SchedulePlan, Refused>({
    queryKey: ["plan", path, wish],
    queryFn: () => send<SchedulePlan>(method, path, wish, { plan: true }),
    placeholderData: (before) => before,
    staleTime: 0,
    gcTime: 0,
  });
  if (plan.error) return <Failed error={plan.error} />;
  if (!plan.data) return <Loading />;
  return (
    <div className="planned" aria-live="polite">
      <p>
        <strong>{t("schedule.next")}</strong> {plan.data.next_runs.slice(0, 3).map(date).join(t("schedule.and"))}
      </p>
      {plan.data.deletes.length > 0 && (
        <p className="note">
          {t("schedule.deletes", { n: plan.data.deletes.length })} <code>{plan.data.deletes.join(", ")}</code>
        </p>
      )}
      {plan.data.refusals?.map((refusal) => (
        <p key={refusal.reason} className="failed">
          {refusal.message} {refusal.next_step}
        </p>
      ))}
    </div>
  );
}
