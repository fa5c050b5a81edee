// What a machine uses: now, and in the last hour as charts. Comes when wanted: it brings the chart library. Rule: nothing is shown as
// new that is old; each chart's numbers stand in a table beneath.

import { useMemo } from "react";
import { useOne } from "../api/queries";
import type { DiskUsage, InstanceUsage, VifUsage } from "../api/types";
import { Help, Named } from "../parts/basics";
import { BYTE_STEPS, Chart, type Line } from "../parts/chart";
import { type Figure, type History, history, late, summary } from "../parts/figures";
import { Empty, Failed, Loading } from "../parts/states";
import { Table } from "../parts/table";
import { useWords } from "../words/use";

/** Hosts read their guests every ten seconds. */
const EVERY_MS = 10_000;

export default function Metrics({ id }: { id: string }) {
  const { t, duration } = useWords();
  const found = useOne<InstanceUsage>(`instances/${id}/usage`, {}, { every: EVERY_MS });
  // The moment of the answer, not of the drawing: ages are as old as it is.
  const past = useMemo(() => (found.data ? history(found.data, new Date(found.dataUpdatedAt)) : null), [found.data, found.dataUpdatedAt]);
  const problem = found.error && <Failed error={found.error} again={() => void found.refetch()} />;
  if (!found.data || !past) return problem || <Loading />;
  const usage = found.data;
  const old = late(usage);
  return (
    <>
      {problem}
      <Help>{t("metrics.help")}</Help>
      {old !== null && <p className="note">{t("metrics.old", { age: duration(old) })}</p>}
      {usage.age_seconds == null && <Empty title={t("metrics.nothing_yet")} />}
      {past.at.length > 0 && (
        <div className="charts">
          <Cpu past={past} />
          <Memory past={past} usage={usage} />
          <Rates past={past} title={t("metrics.disk")} of={[["read_bytes_per_second", t("metrics.read"), "--accent"], ["written_bytes_per_second", t("metrics.written"), "--warm"]]} />
          <Rates past={past} title={t("metrics.network")} of={[["received_bytes_per_second", t("metrics.received"), "--accent"], ["sent_bytes_per_second", t("metrics.sent"), "--warm"]]} />
        </div>
      )}
      {usage.age_seconds != null && (
        <>
          <Disks disks={usage.disks} />
          <Vifs vifs={usage.vifs} />
          <Numbers past={past} />
        </>
      )}
    </>
  );
}

/** A moment of the last hour as a clock shows it. */
function useClock(second?: "2-digit"): (seconds: number) => string {
  const { language } = useWords();
  return useMemo(() => {
    const format = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", ...(second ? { second } : {}), hourCycle: "h23" });
    return (seconds) => format.format(seconds * 1000);
  }, [language, second]);
}

/** The title, what is true now beside it, and the highest of the hour. */
function Titled({ title, values, told }: { title: string; values: (number | null)[]; told: (value: number) => string }) {
  const { t } = useWords();
  const { last, highest } = summary(values);
  return (
    <div className="chart-head">
      <h2>{title}</h2>
      {last !== null && highest !== null && <span className="quiet">{t("metrics.now", { now: told(last), most: told(highest) })}</span>}
    </div>
  );
}

function Cpu({ past }: { past: History }) {
  const { t, percent } = useWords();
  const clock = useClock();
  const told = (value: number) => percent(value / 100);
  const values = past.of("cpu_percent");
  return (
    <section className="card">
      <Titled title={t("metrics.cpu")} values={values} told={told} />
      <Chart label={t("metrics.chart", { what: t("metrics.cpu") })} at={past.at} time={t("metrics.time")} told={told} toldAt={clock} most={100} lines={[{ label: t("metrics.cpu"), values, color: "--accent", fill: true }]} />
    </section>
  );
}

function Memory({ past, usage }: { past: History; usage: InstanceUsage }) {
  const { t, bytes } = useWords();
  const clock = useClock();
  const values = past.of("memory_bytes");
  const given = usage.memory?.bytes;
  // What the hypervisor itself needs counts too: a small machine may have more than it was given.
  const most = given == null ? undefined : Math.max(given, (summary(values).highest ?? 0) * 1.1);
  return (
    <section className="card">
      <Titled title={t("metrics.memory")} values={values} told={bytes} />
      <Chart
        label={t("metrics.chart", { what: t("metrics.memory") })}
        at={past.at}
        time={t("metrics.time")}
        told={bytes}
        toldAt={clock}
        steps={BYTE_STEPS}
        {...(most ? { most } : {})}
        lines={[{ label: t("metrics.memory"), values, color: "--accent", fill: true }]}
      />
      {given != null && <p className="hint">{t("metrics.memory_of", { all: bytes(given) })}</p>}
    </section>
  );
}

function Rates({ past, title, of }: { past: History; title: string; of: [Figure, string, string][] }) {
  const { t, bytes } = useWords();
  const clock = useClock();
  const told = (value: number) => t("metrics.per_second", { size: bytes(Math.round(value)) });
  const lines: Line[] = of.map(([figure, label, color]) => ({ label, values: past.of(figure), color }));
  return (
    <section className="card">
      <h2>{title}</h2>
      <Chart label={t("metrics.chart", { what: title })} at={past.at} time={t("metrics.time")} told={told} toldAt={clock} steps={BYTE_STEPS} lines={lines} />
    </section>
  );
}

function useRate(): (value: number | null | undefined) => string {
  const { t, bytes } = useWords();
  return (value) => (value == null ? "–" : t("metrics.per_second", { size: bytes(Math.round(value)) }));
}

function Disks({ disks }: { disks: DiskUsage[] }) {
  const { t, bytes } = useWords();
  const rate = useRate();
  return (
    <section className="card">
      <h2>{t("metrics.disks")}</h2>
      <Table<DiskUsage>
        label={t("metrics.disks")}
        rows={disks}
        id={(one) => one.device}
        columns={[
          {
            title: t("device"),
            cell: (one) => (one.volume_id ? <Named to={`/volumes/${one.volume_id}`} id={one.volume_id} name={one.device} /> : `${one.device}${one.device === "vda" ? ` (${t("metrics.boot")})` : ""}`),
          },
          { title: t("metrics.read"), cell: (one) => rate(one.read_bytes_per_second), end: true },
          { title: t("metrics.written"), cell: (one) => rate(one.written_bytes_per_second), end: true },
          { title: t("metrics.read_total"), cell: (one) => bytes(one.read_bytes), end: true },
          { title: t("metrics.written_total"), cell: (one) => bytes(one.written_bytes), end: true },
        ]}
      />
    </section>
  );
}

function Vifs({ vifs }: { vifs: VifUsage[] }) {
  const { t, bytes, number } = useWords();
  const rate = useRate();
  return (
    <section className="card">
      <h2>{t("metrics.vifs")}</h2>
      <Table<VifUsage>
        label={t("metrics.vifs")}
        rows={vifs}
        id={(one) => one.vif_id}
        columns={[
          { title: t("id"), cell: (one) => <code>{one.vif_id}</code> },
          { title: t("metrics.received"), cell: (one) => rate(one.received_bytes_per_second), end: true },
          { title: t("metrics.sent"), cell: (one) => rate(one.sent_bytes_per_second), end: true },
          { title: t("metrics.received_total"), cell: (one) => bytes(one.received_bytes), end: true },
          { title: t("metrics.sent_total"), cell: (one) => bytes(one.sent_bytes), end: true },
          { title: t("metrics.drops"), cell: (one) => number(one.received_drops + one.sent_drops), end: true },
        ]}
      />
    </section>
  );
}

interface Row {
  at: number;
  cells: (number | null)[];
}

const FIGURES: Figure[] = ["cpu_percent", "memory_bytes", "read_bytes_per_second", "written_bytes_per_second", "received_bytes_per_second", "sent_bytes_per_second"];

/** What the charts draw, the newest first. */
function Numbers({ past }: { past: History }) {
  const { t, bytes, percent } = useWords();
  const rate = useRate();
  const clock = useClock("2-digit");
  const columns = FIGURES.map((figure) => past.of(figure));
  const rows: Row[] = past.at.map((at, n) => ({ at, cells: columns.map((values) => values[n] ?? null) })).filter((row) => row.cells.some((cell) => cell !== null));
  const cell = (n: number, told: (value: number) => string) => (row: Row) => {
    const value = row.cells[n];
    return value == null ? "–" : told(value);
  };
  return (
    <details className="card">
      <summary>{t("metrics.table")}</summary>
      <Table<Row>
        label={t("metrics.table")}
        rows={rows.reverse()}
        id={(row) => String(row.at)}
        columns={[
          { title: t("metrics.time"), cell: (row) => clock(row.at) },
          { title: t("metrics.cpu"), cell: cell(0, (value) => percent(value / 100)), end: true },
          { title: t("metrics.memory"), cell: cell(1, bytes), end: true },
          { title: t("metrics.read"), cell: cell(2, rate), end: true },
          { title: t("metrics.written"), cell: cell(3, rate), end: true },
          { title: t("metrics.received"), cell: cell(4, rate), end: true },
          { title: t("metrics.sent"), cell: cell(5, rate), end: true },
        ]}
      />
    </details>
  );
}
