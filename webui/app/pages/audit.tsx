// 点検, for operators: where the records and the world differ, and what is done about it.

import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { get } from "../api/client";
import { useChange, useOne } from "../api/queries";
import type { Finding } from "../api/types";
import { Dialog, Head, Help, Time } from "../parts/basics";
import { Empty, Failed, Loading } from "../parts/states";
import { Table } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

export function AuditPage() {
  const { t } = useWords();
  const client = useQueryClient();
  const { can } = useSession();
  const found = useOne<Finding[]>("audit", {}, { every: 30_000 });
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<Error | null>(null);
  const fresh = async () => {
    setBusy(true);
    setError(null);
    try {
      client.setQueryData(["audit", "audit", {}], await get<Finding[]>("audit", { fresh: true }));
    } catch (problem) {
      setError(problem as Error);
    }
    setBusy(false);
  };
  return (
    <>
      <Head title={t("audit")}>
        <button type="button" className="primary" disabled={busy} onClick={() => void fresh()}>
          {busy ? t("audit.busy") : t("audit.fresh")}
        </button>
      </Head>
      <Help>{t("audit.help")}</Help>
      {(error ?? found.error) && <Failed error={error ?? found.error ?? new Error()} />}
      {!found.data && !found.error && <Loading />}
      {found.data?.length === 0 && <Empty title={`✓ ${t("audit.nothing")}`} />}
      {found.data && found.data.length > 0 && (
        <Table<Finding>
          label={t("audit")}
          rows={found.data}
          id={(one) => one.id}
          columns={[
            { title: t("audit.what"), cell: (one) => <Said one={one} /> },
            { title: t("thing"), cell: (one) => <code>{one.owner ?? one.thing}</code> },
            { title: t("agent"), cell: (one) => one.agent ?? "–" },
            { title: t("since"), cell: (one) => <Time at={one.since} /> },
            ...(can("operate") ? [{ title: t("actions"), cell: (one: Finding) => <Decide one={one} /> }] : []),
          ]}
        />
      )}
    </>
  );
}

function Said({ one }: { one: Finding }) {
  return (
    <>
      <p>{one.sentence || one.kind}</p>
      <p className="hint">{one.next_step}</p>
    </>
  );
}

function Decide({ one }: { one: Finding }) {
  const { t } = useWords();
  const [asked, setAsked] = useState(false);
  const change = useChange(() => setAsked(false));
  const decide = (verb: "adopt" | "remove") =>
    change.mutate({ method: "POST", path: `audit/${verb}`, body: { id: one.owner ?? one.id } });
  if (one.kind === "memory_loss") {
    return (
      <>
        <button type="button" onClick={() => change.mutate({ method: "POST", path: "audit/confirm" })}>
          {t("audit.confirm")}
        </button>
        {change.error && <Failed error={change.error} />}
      </>
    );
  }
  if (one.rule !== "operator_decides" && one.rule !== "machine_or_new_host" && one.rule !== "held") return "–";
  return (
    <span className="actions">
      <button type="button" disabled={change.isPending} onClick={() => decide("adopt")}>
        {t("audit.adopt")}
      </button>
      <button type="button" className="danger" onClick={() => setAsked(true)}>
        {t("audit.remove")}
      </button>
      {change.error && <Failed error={change.error} />}
      <Dialog title={t("audit.remove")} open={asked} close={() => setAsked(false)}>
        <p>{t("audit.remove_ask", { name: one.owner ?? one.thing })}</p>
        <div className="actions">
          <button type="button" onClick={() => setAsked(false)}>
            {t("cancel")}
          </button>
          <button type="button" className="danger" onClick={() => decide("remove")}>
            {t("audit.remove")}
          </button>
        </div>
      </Dialog>
    </span>
  );
}
