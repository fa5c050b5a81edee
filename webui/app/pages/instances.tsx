// インスタンス: the list, with filters by state and name and verbs on many at once.

import { useState } from "react";
import { Link } from "wouter";
import type { Query } from "../api/client";
import type { Instance } from "../api/types";
import { Head, Help, Named, State, Time } from "../parts/basics";
import { Bulk } from "../parts/bulk";
import { Empty } from "../parts/states";
import { type Column, Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

const STATES = ["running", "halted", "failed", "pending", "initializing", "starting", "halting", "shuttingdown", "terminated"];

/** What is looked for: the API finds parts of names and addresses, and beginnings of ids. */
export function searched(text: string): Query {
  const word = text.trim();
  return word ? { search: word } : {};
}

export function InstancesPage() {
  const { t, word } = useWords();
  const { can } = useSession();
  const [state, setState] = useState("alive");
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const filtered = text !== "" || state !== "alive";
  return (
    <>
      <Head title={t("instances")}>
        {can("change") && (
          <Link href="/instances/new" className="button primary">
            {t("launch")}
          </Link>
        )}
      </Head>
      <Help>{t("instances.help")}</Help>
      <form className="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <label>
          {t("state")}
          <select value={state} onChange={(event) => setState(event.target.value)}>
            <option value="alive">{t("state.all_alive")}</option>
            {STATES.map((one) => (
              <option key={one} value={one}>
                {word("state", one)}
              </option>
            ))}
          </select>
        </label>
        <label>
          {t("search")}
          <input type="search" value={text} placeholder={t("search.hint")} onChange={(event) => setText(event.target.value)} />
        </label>
      </form>
      {can("change") && <Bulk chosen={chosen} clear={() => setChosen(new Set())} />}
      <Listing<Instance>
        label={t("instances")}
        path="instances"
        query={{ state, sort_by: "created_at.desc", ...searched(text) }}
        id={(one) => one.id}
        columns={useColumns()}
        choice={can("change") ? { chosen, setChosen, name: (one) => one.display_name || one.id } : undefined}
        empty={
          <Empty title={filtered ? t("filtered_empty") : t("instances.empty")}>
            {!filtered && can("change") && (
              <Link href="/instances/new" className="button primary">
                {t("welcome.launch")}
              </Link>
            )}
          </Empty>
        }
      />
    </>
  );
}

function useColumns(): Column<Instance>[] {
  const { t, mebibytes } = useWords();
  return [
    { title: t("name"), cell: (one) => <Named to={`/instances/${one.id}`} id={one.id} name={one.display_name} /> },
    { title: t("state"), cell: (one) => <State state={one.state} /> },
    { title: t("address"), cell: (one) => one.vif.map((vif) => vif.ipv4?.address).filter(Boolean).join(", ") || "–" },
    { title: t("size"), cell: (one) => t("size.words", { n: one.cpu_cores, memory: mebibytes(one.memory_size) }) },
    { title: t("host"), cell: (one) => one.host_node ?? "–" },
    { title: t("created"), cell: (one) => <Time at={one.created_at} /> },
  ];
}
