// A list as a table: paged by the server, chosen from by check boxes, readable on a phone (each row becomes a card).

import { type ReactNode, useEffect, useState } from "react";
import type { Page, Query } from "../api/client";
import { type Pace, useList } from "../api/queries";
import { useWords } from "../words/use";
import { Empty, Failed, Loading } from "./states";

export interface Column<T> {
  title: string;
  cell: (row: T) => ReactNode;
  /** Of numbers, at the right. */
  end?: boolean;
}

interface Choice<T> {
  chosen: ReadonlySet<string>;
  setChosen: (chosen: ReadonlySet<string>) => void;
  name: (row: T) => string;
}

interface TableProps<T> {
  label: string;
  columns: Column<T>[];
  rows: T[];
  id: (row: T) => string;
  choice?: Choice<T> | undefined;
}

export function Table<T>({ label, columns, rows, id, choice }: TableProps<T>) {
  const { t } = useWords();
  const all = rows.length > 0 && rows.every((row) => choice?.chosen.has(id(row)));
  const toggle = (key: string) => {
    const next = new Set(choice?.chosen);
    if (!next.delete(key)) next.add(key);
    choice?.setChosen(next);
  };
  return (
    <div className="table">
      <table aria-label={label}>
        <thead>
          <tr>
            {choice && (
              <th className="tick">
                <input
                  type="checkbox"
                  aria-label={t("choose_all")}
                  checked={all}
                  onChange={() => choice.setChosen(new Set(all ? [] : rows.map(id)))}
                />
              </th>
            )}
            {columns.map((column) => (
              <th key={column.title} scope="col" className={column.end ? "end" : undefined}>
                {column.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={id(row)}>
              {choice && (
                <td className="tick">
                  <input
                    type="checkbox"
                    aria-label={t("choose", { name: choice.name(row) })}
                    checked={choice.chosen.has(id(row))}
                    onChange={() => toggle(id(row))}
                  />
                </td>
              )}
              {columns.map((column) => (
                <td key={column.title} data-title={column.title} className={column.end ? "end" : undefined}>
                  {column.cell(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export const PAGE_ROWS = 50;

interface ListingProps<T> extends Omit<TableProps<T>, "rows"> {
  path: string;
  query?: Query;
  every?: number | Pace<T>;
  empty: ReactNode;
  /** What of a page is shown, where the server has no filter for it. */
  keep?: (row: T) => boolean;
}

/** A list with its pages; what is on its way, missing or refused is said in its place. */
export function Listing<T>({ path, query = {}, every, empty, keep, ...table }: ListingProps<T>) {
  const [start, setStart] = useState(0);
  const words = JSON.stringify(query);
  useEffect(() => setStart(0), [words, path]);
  const found = useList<T>(path, { ...query, start, limit: PAGE_ROWS }, every ? { every } : {});
  if (found.error && !found.data) return <Failed error={found.error} again={() => void found.refetch()} />;
  if (!found.data) return <Loading />;
  const rows = keep ? found.data.results.filter(keep) : found.data.results;
  if (rows.length === 0 && found.data.total <= PAGE_ROWS) return <>{empty}</>;
  return (
    <>
      <Table {...table} rows={rows} />
      <Pages page={found.data} start={start} go={setStart} />
    </>
  );
}

function Pages<T>({ page, start, go }: { page: Page<T>; start: number; go: (start: number) => void }) {
  const { t } = useWords();
  const end = Math.min(page.total, start + PAGE_ROWS);
  return (
    <nav className="pages" aria-label={t("pages")}>
      <span>{t("pages.which", { from: Math.min(start + 1, end), to: end, n: page.total })}</span>
      {page.total > PAGE_ROWS && (
        <>
          <button type="button" disabled={start === 0} onClick={() => go(Math.max(0, start - PAGE_ROWS))}>
            {t("pages.before")}
          </button>
          <button type="button" disabled={end >= page.total} onClick={() => go(start + PAGE_ROWS)}>
            {t("pages.next")}
          </button>
        </>
      )}
    </nav>
  );
}

export function NothingYet({ title, children }: { title: string; children?: ReactNode }) {
  return <Empty title={title}>{children}</Empty>;
}
