// A host that is gone for good, for operators: what is lost and freed is shown first, the host's id said once more does it, and then
// which volumes are proved to be free. Rule: the plan, and why it would be refused, are the API's; nothing is guessed here.

import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { Refused, send } from "../api/client";
import { useChange, useOne } from "../api/queries";
import type { Event, FreedVolume, HostLoss, HostNode, LostInstance } from "../api/types";
import { Dialog, Field, Named } from "../parts/basics";
import { Heard } from "../parts/busy";
import { Failed, Loading } from "../parts/states";
import { Table } from "../parts/table";
import { useWords } from "../words/use";

/** What its storage nodes answer makes an event of the volume, none of the host. */
const EVERY_MS = 3_000;
/** Of a volume's timeline: the proof is among the newest. */
const EVENTS = 50;

function useLoss(host: string, every: number | false) {
  return useQuery<HostLoss, Refused>({
    queryKey: ["host_nodes", host, "loss"],
    queryFn: () => send<HostLoss>("PUT", `host_nodes/${host}/declare_lost`, {}, { plan: true }),
    refetchInterval: every,
    gcTime: 0,
    staleTime: 0,
  });
}

export function Loss({ host }: { host: HostNode }) {
  const { t } = useWords();
  const [open, setOpen] = useState(false);
  const [freed, setFreed] = useState<FreedVolume[]>([]);
  const declared = (loss: HostLoss) => {
    setFreed(loss.volumes);
    setOpen(false);
  };
  return (
    <section className="card">
      <h2>{t("loss")}</h2>
      {host.status === "lost" ? (
        <Proving host={host} freed={freed} />
      ) : (
        <>
          <p className="hint">{t("loss.help")}</p>
          <div className="actions">
            <button type="button" className="danger" onClick={() => setOpen(true)}>
              {t("loss.declare")}
            </button>
          </div>
          <Dialog title={t("loss.title", { host: host.id })} open={open} close={() => setOpen(false)}>
            <Declaring host={host} close={() => setOpen(false)} done={declared} />
          </Dialog>
        </>
      )}
    </section>
  );
}

function Declaring({ host, close, done }: { host: HostNode; close: () => void; done: (loss: HostLoss) => void }) {
  const { t } = useWords();
  const client = useQueryClient();
  const plan = useLoss(host.id, false);
  const [said, setSaid] = useState("");
  const declare = useChange<HostLoss>((loss) => {
    void client.invalidateQueries();
    done(loss);
  });
  if (plan.error) return <Failed error={plan.error} again={() => void plan.refetch()} />;
  if (!plan.data) return <Loading />;
  const [refusal] = plan.data.refusals ?? [];
  if (refusal) return <Failed error={new Refused(409, refusal)} />;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        declare.mutate({ method: "PUT", path: `host_nodes/${host.id}/declare_lost`, body: { confirm: said } });
      }}
    >
      <p>
        {t("last_seen")}: <Heard at={plan.data.last_seen_at} />
      </p>
      <p>
        <strong>{t("loss.first")}</strong> {t("loss.why_first")}
      </p>
      <Instances rows={plan.data.instances} />
      <Volumes rows={plan.data.volumes} />
      <Field label={t("loss.confirm", { id: host.id })} hint={t("loss.confirm_hint")}>
        {(id, hint) => <input id={id} aria-describedby={hint} autoComplete="off" spellCheck={false} value={said} onChange={(event) => setSaid(event.target.value.trim())} />}
      </Field>
      {declare.error && <Failed error={declare.error} />}
      <div className="actions">
        <button type="button" onClick={close}>
          {t("cancel")}
        </button>
        <button type="submit" className="danger" disabled={said !== host.id || declare.isPending}>
          {t("loss.declare")}
        </button>
      </div>
    </form>
  );
}

function Instances({ rows }: { rows: LostInstance[] }) {
  const { t, word } = useWords();
  if (rows.length === 0) return <p className="quiet">{t("loss.no_instances")}</p>;
  return (
    <Table<LostInstance>
      label={t("instances")}
      rows={rows}
      id={(one) => one.id}
      columns={[
        { title: t("instance"), cell: (one) => <Named id={one.id} name={one.hostname} /> },
        { title: t("account"), cell: (one) => <code>{one.account_id}</code> },
        { title: t("loss.follows"), cell: (one) => word("fate", one.fate) },
      ]}
    />
  );
}

function Volumes({ rows }: { rows: FreedVolume[] }) {
  const { t } = useWords();
  if (rows.length === 0) return <p className="quiet">{t("loss.no_volumes")}</p>;
  return (
    <Table<FreedVolume>
      label={t("volumes")}
      rows={rows}
      id={(one) => one.id}
      columns={[
        { title: t("volumes"), cell: (one) => <code>{one.id}</code> },
        { title: t("instance"), cell: (one) => <code>{one.instance_id}</code> },
        { title: t("loss.follows"), cell: (one) => t(one.follows_instance ? "loss.volume_follows" : "loss.volume_freed") },
      ]}
    />
  );
}

/** A lost host: what is not proved yet, and of what was freed just now its proof. */
function Proving({ host, freed }: { host: HostNode; freed: FreedVolume[] }) {
  const { t } = useWords();
  const now = useLoss(host.id, EVERY_MS);
  const waiting = now.data?.refusals?.length ? [] : (now.data?.volumes ?? []);
  const others = waiting.filter((one) => !freed.some((known) => known.id === one.id));
  return (
    <>
      <p className="hint">{t("loss.lost")}</p>
      {[...freed, ...others].map((one) => (
        <Proof key={one.id} volume={one.id} waits={waiting.some((other) => other.id === one.id)} />
      ))}
      {now.data && waiting.length === 0 && <p role="status">✓ {t("loss.proved_all")}</p>}
      {now.data?.refusals?.map((refusal) => (
        <p key={refusal.reason} className="note">
          {t("loss.heard_again")}
        </p>
      ))}
      {now.error && <Failed error={now.error} again={() => void now.refetch()} />}
    </>
  );
}

function Proof({ volume, waits }: { volume: string; waits: boolean }) {
  const { t } = useWords();
  const events = useOne<Event[]>("events", { resource: volume, last: EVENTS });
  const proof = waits ? undefined : events.data?.findLast((event) => event.code === "volume_fenced");
  return (
    <p>
      <Link href={`/volumes/${volume}`}>{volume}</Link>{" "}
      {waits ? (
        <span role="status">
          <span className="spinner" aria-hidden="true" /> {t("loss.proving")}
        </span>
      ) : (
        <span>✓ {proof?.text ?? t("loss.proved")}</span>
      )}
    </p>
  );
}
