// What a host or a storage node was busy with in the last hour, as charts. Comes when wanted: it brings the chart library. Rule: as with a
// machine's, nothing old is shown as new, and each chart's numbers stand in a table beneath.

import { useMemo } from "react";
import type { NodeUsage, NodeUsagePoint } from "../api/types";
import { Help } from "../parts/basics";
import { useNodeUsage } from "../parts/busy";
import { BYTE_STEPS, Chart } from "../parts/chart";
import { type FigureOf, type HistoryOf, history, late, summary } from "../parts/figures";
import { Empty, Failed, Loading } from "../parts/states";
import { Table } from "../parts/table";
import { useWords } from "../words/use";

type Figure = FigureOf<NodeUsagePoint> & string;

interface Line {
  figure: Figure;
  title: string;
  told: (value: number) => string;
  /** Of everything there is, where that is known. */
  most?: number | undefined;
  steps?: number[];
}

function useLines(usage: NodeUsage | undefined): Line[] {
  const { t, bytes, number, percent } = useWords();
  return useMemo(
    () => [
      { figure: "cpu_percent", title: t("metrics.cpu"), told: (value) => percent(value / 100), most: 100 },
      { figure: "load", title: t("node.load_title"), told: (value) => number(value) },
      { figure: "memory_used_bytes", title: t("metrics.memory"), told: bytes, most: usage?.memory?.bytes, steps: BYTE_STEPS },
      { figure: "disk_used_bytes", title: t("node.disk_title"), told: bytes, most: usage?.disk?.bytes, steps: BYTE_STEPS },
    ],
    [t, bytes, number, percent, usage?.memory?.bytes, usage?.disk?.bytes],
  );
}

export default function NodeMetrics({ path }: { path: string }) {
  const { t, duration, language } = useWords();
  const found = useNodeUsage(path, true);
  const past = useMemo(() => (found.data ? history(found.data, new Date(found.dataUpdatedAt)) : null), [found.data, found.dataUpdatedAt]);
  const lines = useLines(found.data);
  const clock = useMemo(() => {
    const format = new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    return (seconds: number) => format.format(seconds * 1000);
  }, [language]);
  const problem = found.error && <Failed error={found.error} again={() => void found.refetch()} />;
  if (!found.data || !past) return problem || <Loading />;
  const old = late(found.data);
  return (
    <>
      {problem}
      <Help>{t("node.help")}</Help>
      {old !== null && <p className="note">{t("node.old", { age: duration(old) })}</p>}
      {past.at.length === 0 ? (
        <Empty title={t("node.nothing_yet")} />
      ) : (
        <>
          <div className="charts">
            {lines.map((line) => (
              <Drawn key={line.figure} line={line} past={past} clock={clock} />
            ))}
          </div>
          <Numbers lines={lines} past={past} clock={clock} />
        </>
      )}
    </>
  );
}

interface DrawnProps {
  line: Line;
  past: HistoryOf<NodeUsagePoint>;
  clock: (seconds: number) => string;
}

function Drawn({ line, past, clock }: DrawnProps) {
  const { t } = useWords();
  const values = past.of(line.figure);
  const { last, highest } = summary(values);
  // A storage node whose room was never seen has no line of it.
  if (last === null || highest === null) return null;
  return (
    <section className="card">
      <div className="chart-head">
        <h2>{line.title}</h2>
        <span className="quiet">{t("metrics.now", { now: line.told(last), most: line.told(highest) })}</span>
      </div>
      <Chart
        label={t("metrics.chart", { what: line.title })}
        at={past.at}
        time={t("metrics.time")}
        told={line.told}
        toldAt={clock}
        {...(line.most ? { most: line.most } : {})}
        {...(line.steps ? { steps: line.steps } : {})}
        lines={[{ label: line.title, values, color: "--accent", fill: true }]}
      />
    </section>
  );
}

interface Row {
  at: number;
  cells: (number | null)[];
}

function Numbers({ lines, past, clock }: { lines: Line[] } & Omit<DrawnProps, "line">) {
  const { t } = useWords();
  const columns = lines.map((line) => past.of(line.figure));
  const rows: Row[] = past.at.map((at, n) => ({ at, cells: columns.map((values) => values[n] ?? null) })).filter((row) => row.cells.some((cell) => cell !== null));
  return (
    <details className="card">
      <summary>{t("metrics.table")}</summary>
      <Table<Row>
        label={t("metrics.table")}
        rows={rows.reverse()}
        id={(row) => String(row.at)}
        columns={[
          { title: t("metrics.time"), cell: (row) => clock(row.at) },
          ...lines.map((line, n) => ({
            title: line.title,
            cell: (row: Row) => {
              const value = row.cells[n];
              return value == null ? "–" : line.told(value);
            },
            end: true,
          })),
        ]}
      />
    </details>
  );
}
