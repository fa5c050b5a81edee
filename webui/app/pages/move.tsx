// A machine goes to another host while it runs. Rule: how long it takes, or why it would not end, is asked and shown before.

import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import type { Refused } from "../api/client";
import { useChange, useList } from "../api/queries";
import type { HostNode, Instance, MoveForecast, MovePlan } from "../api/types";
import { Dialog, Facts, Field } from "../parts/basics";
import { askPlan, timeWords } from "../parts/forecasting";
import { Failed, Loading } from "../parts/states";
import { useWords } from "../words/use";

export function Move({ one }: { one: Instance }) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  return (
    <>
      <button type="button" onClick={() => setOpen(true)}>
        {t("move")}
      </button>
      <Dialog title={t("move.title", { name: one.display_name || one.id })} open={open} close={() => setOpen(false)}>
        {open && <Choice one={one} close={() => setOpen(false)} />}
      </Dialog>
    </>
  );
}

function Choice({ one, close }: { one: Instance; close: () => void }) {
  const { t } = useWords();
  const hosts = useList<HostNode>("host_nodes", { limit: 1000 });
  const [chosen, setChosen] = useState("");
  const move = useChange(close);
  const others = (hosts.data?.results ?? []).filter((host) => host.id !== one.host_node && host.scheduling_enabled && host.status === "online");
  const to = chosen || others[0]?.id || "";
  // Measured anew each time it is looked at, and never kept: it is of this moment.
  const plan = useQuery<MovePlan, Refused>({
    queryKey: ["plan", "move", one.id, to],
    queryFn: ({ signal }) => askPlan(one.id, to, () => signal.aborted),
    enabled: to !== "",
    staleTime: 0,
    gcTime: 0,
  });
  if (hosts.error) return <Failed error={hosts.error} />;
  if (!hosts.data) return <Loading />;
  if (others.length === 0) return <p>{t("move.nowhere")}</p>;
  const refused = (plan.data?.refusals?.length ?? 0) > 0;
  return (
    <>
      <Field label={t("move.to")}>
        {(id) => (
          <select id={id} value={to} onChange={(event) => setChosen(event.target.value)}>
            {others.map((host) => (
              <option key={host.id} value={host.id}>
                {host.display_name || host.id}
              </option>
            ))}
          </select>
        )}
      </Field>
      <div aria-live="polite">
        {plan.isFetching && <p>{t("forecast.measuring")}</p>}
        {plan.error && <Failed error={plan.error} />}
        {!plan.isFetching && plan.data?.forecast && <Forecast of={plan.data.forecast} />}
        {plan.data?.refusals?.map((refusal) => (
          <p key={refusal.reason} className="failed">
            {refusal.message} {refusal.next_step}
          </p>
        ))}
      </div>
      <p className="hint">{t("move.hint")}</p>
      {move.error && <Failed error={move.error} />}
      <div className="actions">
        <button type="button" onClick={close}>
          {t("cancel")}
        </button>
        <button
          type="button"
          className="primary"
          disabled={move.isPending || refused}
          onClick={() => move.mutate({ method: "PUT", path: `instances/${one.id}/move`, body: { host_node_id: to } })}
        >
          {t("move.do")}
        </button>
      </div>
    </>
  );
}

function Forecast({ of }: { of: MoveForecast }) {
  const { t, bytes } = useWords();
  const rate = (value: number | null | undefined) => (value == null ? "–" : t("forecast.rate", { bytes: bytes(value) }));
  const size = (value: number | null | undefined) => (value == null ? "–" : bytes(value));
  return (
    <>
      <Facts
        rows={[
          [t("forecast"), <strong key="time">{timeWords(t, of)}</strong>],
          [t("forecast.pause"), of.pause_ms == null ? "–" : `${of.pause_ms} ms`],
          [t("forecast.memory"), size(of.memory_bytes)],
          [t("forecast.dirty"), rate(of.dirty_bytes_per_second)],
          [t("forecast.disk"), size(of.disk_bytes)],
          [t("forecast.link"), rate(of.link_bytes_per_second)],
        ]}
      />
      {of.why && (
        <p className={of.converges === false ? "failed" : undefined}>
          {of.why.sentence} {of.why.next_step}
        </p>
      )}
    </>
  );
}
