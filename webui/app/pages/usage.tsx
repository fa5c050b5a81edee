// 利用量: what the account used, as totals, as a chart of days, as CSV. Comes when wanted: it brings the chart library.

import { useMemo, useState } from "react";
import { text } from "../api/client";
import { useOne } from "../api/queries";
import type { UsageInterval, UsageOverTime } from "../api/types";
import { Head, Help } from "../parts/basics";
import { Chart } from "../parts/chart";
import { Empty, Failed, Loading } from "../parts/states";
import { Table } from "../parts/table";
import { type Day, days } from "../parts/usage";
import { useSession } from "../session";
import { useWords } from "../words/use";

const DAY_MS = 86_400_000;

export default function UsagePage() {
  const { t } = useWords();
  const { account } = useSession();
  const [length, setLength] = useState(7);
  const [until] = useState(() => new Date());
  const since = new Date(Math.floor((until.getTime() - (length - 1) * DAY_MS) / DAY_MS) * DAY_MS);
  if (!account || account === "all") return <Empty title={t("choose_account")} />;
  return (
    <>
      <Head title={t("usage")}>
        <Csv account={account} since={since} until={until} />
      </Head>
      <Help>{t("usage.help")}</Help>
      <div className="filters">
        <label>
          {t("usage.span")}
          <select value={length} onChange={(event) => setLength(Number(event.target.value))}>
            {[7, 31, 92].map((days) => (
              <option key={days} value={days}>
                {t("usage.days", { n: days })}
              </option>
            ))}
          </select>
        </label>
      </div>
      <Totals account={account} since={since} until={until} />
    </>
  );
}

interface Span {
  account: string;
  since: Date;
  until: Date;
}

function Csv({ account, since, until }: Span) {
  const { t } = useWords();
  const [error, setError] = useState<Error | null>(null);
  const save = async () => {
    try {
      const words = { since: since.toISOString(), until: until.toISOString() };
      const url = URL.createObjectURL(new Blob([await text(`accounts/${account}/usage`, words, "text/csv")], { type: "text/csv" }));
      Object.assign(document.createElement("a"), { href: url, download: `usage-${account}.csv` }).click();
      URL.revokeObjectURL(url);
    } catch (problem) {
      setError(problem as Error);
    }
  };
  return (
    <>
      <button type="button" onClick={() => void save()}>
        {t("usage.csv")}
      </button>
      {error && <Failed error={error} />}
    </>
  );
}

function Totals({ account, since, until }: Span) {
  const { t, word, number } = useWords();
  const words = { since: since.toISOString(), until: until.toISOString() };
  const totals = useOne<UsageOverTime>(`accounts/${account}/usage`, words);
  const rows = useOne<UsageInterval[]>("reports", { account_id: account, used_since: words.since, used_until: words.until });
  const perDay = useMemo(() => days(rows.data ?? [], since, until), [rows.data, words.since, words.until]);
  const error = totals.error ?? rows.error;
  if (error) return <Failed error={error} />;
  if (!totals.data || !rows.data) return <Loading />;
  if (rows.data.length === 0) return <Empty title={t("usage.empty")} />;
  const hours = (seconds: number) => number(seconds / 3600);
  return (
    <>
      <section className="card">
        <Days days={perDay} />
      </section>
      <Table
        label={t("usage")}
        rows={totals.data.totals}
        id={(one) => one.resource_type + one.what}
        columns={[
          { title: t("kind"), cell: (one) => word("used", `${one.resource_type}_${one.what}`) },
          { title: t("usage.count"), cell: (one) => number(one.resources), end: true },
          { title: t("usage.hours"), cell: (one) => hours(one.seconds), end: true },
          { title: t("usage.core_hours"), cell: (one) => hours(one.cpu_core_seconds), end: true },
          { title: t("usage.memory_hours"), cell: (one) => hours(one.memory_gigabyte_seconds), end: true },
          { title: t("usage.disk_hours"), cell: (one) => hours(one.disk_gigabyte_seconds), end: true },
        ]}
      />
    </>
  );
}

/** The table beside says the same to whoever sees no chart. */
function Days({ days }: { days: Day[] }) {
  const { t, language, number } = useWords();
  const format = new Intl.DateTimeFormat(language, { month: "numeric", day: "numeric", timeZone: "UTC" });
  return (
    <Chart
      days
      label={t("usage.chart")}
      at={days.map((day) => day.at)}
      time={t("usage.day")}
      told={number}
      toldAt={(seconds) => format.format(seconds * 1000)}
      lines={[
        { label: t("usage.core_hours"), values: days.map((day) => day.core_hours), color: "--accent", bars: true },
        { label: t("usage.memory_hours"), values: days.map((day) => day.gib_hours), color: "--warm" },
      ]}
    />
  );
}
