// セキュリティグループ: rules as a form and as text, and whom they touch.

import { useEffect, useState } from "react";
import { useLocation } from "wouter";
import type { Tagged } from "../api/client";
import { useChange, useList, useTagged } from "../api/queries";
import type { Instance, SecurityGroup } from "../api/types";
import { Field, Head, Help, Named, State, Tabs, Time } from "../parts/basics";
import { NotSaved } from "../parts/edit";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { type Rule, parse, write } from "../parts/rules";
import { Empty, Failed, Loading } from "../parts/states";
import { Listing, Table } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

export function SecurityGroupsPage() {
  const { t } = useWords();
  const { can } = useSession();
  const [, go] = useLocation();
  return (
    <>
      <Head title={t("security_groups")}>
        {can("change") && (
          <Maker<SecurityGroup>
            primary
            label={t("security_group.create")}
            done={(group) => go(`/security-groups/${group.id}`)}
            change={(field) => ({
              method: "POST",
              path: "security_groups",
              body: { display_name: field("name"), description: field("description"), rule: "tcp:22,22,ip4:0.0.0.0/0\nicmp:-1,-1,ip4:0.0.0.0/0" },
            })}
          >
            <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
            <Field label={t("description")}>{(id) => <input id={id} name="description" />}</Field>
            <p className="hint">{t("security_group.first_rules")}</p>
          </Maker>
        )}
      </Head>
      <Help>{t("security_groups.help")}</Help>
      <Listing<SecurityGroup>
        label={t("security_groups")}
        path="security_groups"
        id={(one) => one.id}
        empty={<Empty title={t("security_groups.empty")} />}
        columns={[
          { title: t("name"), cell: (one) => <Named to={`/security-groups/${one.id}`} id={one.id} name={one.display_name} /> },
          { title: t("description"), cell: (one) => one.description || "–" },
          { title: t("rules"), cell: (one) => one.rules.length, end: true },
          { title: t("updated"), cell: (one) => <Time at={one.updated_at} /> },
        ]}
      />
    </>
  );
}

export function SecurityGroupPage({ id }: { id: string }) {
  const { t, language } = useWords();
  const { can } = useSession();
  const [, go] = useLocation();
  const found = useTagged<SecurityGroup>(`security_groups/${id}`, language);
  if (found.error && !found.data) return <Failed error={found.error} />;
  if (!found.data) return <Loading />;
  const group = found.data.one;
  return (
    <>
      <Head title={group.display_name || group.id} back={["/security-groups", t("security_groups")]}>
        {can("change") && <Remove path={`security_groups/${id}`} name={group.display_name || id} done={() => go("/security-groups")} />}
      </Head>
      <p className="quiet">{group.description}</p>
      <Help>{t("rules.help")}</Help>
      <Editor now={found.data} readOnly={!can("change")} />
      <Touched id={id} />
    </>
  );
}

type Look = "form" | "text";

/** Follows the group as it is (`now`) until something is typed. From then on what was typed stays, and is saved only over the version
 * that it was typed for (`base`): what somebody else saved meanwhile is told. */
function Editor({ now, readOnly }: { now: Tagged<SecurityGroup>; readOnly: boolean }) {
  const { t } = useWords();
  const [tab, setTab] = useState<Look>("form");
  const [base, setBase] = useState(now);
  const [text, setText] = useState(now.one.rule);
  const begin = (version: Tagged<SecurityGroup>) => {
    setBase(version);
    setText(version.one.rule);
  };
  const change = useChange<SecurityGroup>((one) => begin({ one, tag: undefined }));
  const parsed = parse(text);
  const set = (rules: Rule[]) => setText(write({ ...parsed, rules }));
  const group = base.one;
  const dirty = text !== group.rule;
  // What is saved here is the rules: a moment of whole seconds would hide two changes within one.
  const isOther = now.one.rule !== group.rule;
  useEffect(() => {
    if (!dirty) begin(now);
    // The same rules: of another version, or in other words.
    else if (!isOther) setBase(now);
  }, [now.tag]);
  const reload = () => {
    change.reset();
    begin(now);
  };
  return (
    <section className="card">
      <h2>{t("rules")}</h2>
      <Tabs tabs={[{ id: "form", label: t("rules.form") }, { id: "text", label: t("rules.text") }]} at={tab} go={setTab} />
      <div role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {tab === "text" ? (
          <textarea className="code" rows={12} spellCheck={false} readOnly={readOnly} aria-label={t("rules.text")} value={text} onChange={(event) => setText(event.target.value)} />
        ) : (
          <RuleRows rules={parsed.rules} set={set} readOnly={readOnly} />
        )}
        {tab === "form" && parsed.left.length > 0 && <p className="hint">{t("rules.left", { n: parsed.left.length })}</p>}
      </div>
      {change.error && <NotSaved error={change.error} reload={reload} />}
      {dirty && isOther && !change.error && (
        <p className="note" role="status">
          {t("rules.changed_meanwhile")}{" "}
          <button type="button" onClick={reload}>
            {t("conflict.reload")}
          </button>
        </p>
      )}
      {change.isSuccess && !dirty && (
        <p className="note" role="status">
          {t("rules.saved")}
        </p>
      )}
      {!readOnly && (
        <div className="actions">
          <button type="button" disabled={!dirty} onClick={() => setText(group.rule)}>
            {t("undo")}
          </button>
          <button
            type="button"
            className="primary"
            disabled={!dirty || change.isPending}
            onClick={() => change.mutate({ method: "PUT", path: `security_groups/${group.id}`, body: { rule: text }, ifMatch: base.tag })}
          >
            {t("save")}
          </button>
        </div>
      )}
    </section>
  );
}

const FRESH: Rule = { protocol: "tcp", first: "80", last: "80", source: "ip4:0.0.0.0/0", comment: "" };

/** What most machines are asked for, by its name everywhere (RFC 4251, RFC 9110, RFC 792: echo request). */
const USUAL: (Pick<Rule, "protocol" | "first" | "last"> & { name: string })[] = [
  { name: "SSH", protocol: "tcp", first: "22", last: "22" },
  { name: "HTTP", protocol: "tcp", first: "80", last: "80" },
  { name: "HTTPS", protocol: "tcp", first: "443", last: "443" },
  { name: "ping", protocol: "icmp", first: "8", last: "0" },
];

function isSame(one: Rule, other: Pick<Rule, "protocol" | "first" | "last">): boolean {
  return one.protocol === other.protocol && one.first === other.first && one.last === other.last;
}

function RuleRows({ rules, set, readOnly }: { rules: Rule[]; set: (rules: Rule[]) => void; readOnly: boolean }) {
  const { t } = useWords();
  const edit = (at: number, change: Partial<Rule>) => set(rules.map((rule, n) => (n === at ? { ...rule, ...change } : rule)));
  return (
    <div className="rules">
      {rules.length === 0 && <Empty title={t("rules.empty")} />}
      {rules.map((rule, at) => (
        <fieldset key={at} disabled={readOnly} aria-label={t("rule.nth", { n: at + 1 })}>
          <label>
            {t("protocol")}
            <select value={rule.protocol} onChange={(event) => edit(at, { protocol: event.target.value as Rule["protocol"], ...(event.target.value === "icmp" ? { first: "-1", last: "-1" } : {}) })}>
              <option>tcp</option>
              <option>udp</option>
              <option>icmp</option>
            </select>
          </label>
          <label>
            {rule.protocol === "icmp" ? t("icmp_type") : t("port_from")}
            <input inputMode="numeric" size={6} value={rule.first} onChange={(event) => edit(at, { first: event.target.value })} />
          </label>
          <label>
            {rule.protocol === "icmp" ? t("icmp_code") : t("port_to")}
            <input inputMode="numeric" size={6} value={rule.last} onChange={(event) => edit(at, { last: event.target.value })} />
          </label>
          <label className="wide">
            {t("source")}
            <input aria-describedby="source-hint" value={rule.source} spellCheck={false} onChange={(event) => edit(at, { source: event.target.value })} />
          </label>
          {!readOnly && (
            <button type="button" aria-label={t("rule.remove", { n: at + 1 })} onClick={() => set(rules.filter((_, n) => n !== at))}>
              {t("rule.out")}
            </button>
          )}
        </fieldset>
      ))}
      {rules.length > 0 && (
        <p className="hint" id="source-hint">
          {t("rules.source_hint")}
        </p>
      )}
      {!readOnly && (
        <div className="actions">
          <button type="button" onClick={() => set([...rules, FRESH])}>
            {t("rule.add")}
          </button>
          {USUAL.map(({ name, ...rule }) => (
            <button key={name} type="button" className="plain" disabled={rules.some((one) => isSame(one, rule))} onClick={() => set([...rules, { ...FRESH, ...rule }])}>
              + {name}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

/** Whom a change would reach, before it is made. */
function Touched({ id }: { id: string }) {
  const { t } = useWords();
  const instances = useList<Instance>("instances", { state: "alive", limit: 1000 });
  const rows = (instances.data?.results ?? []).filter((one) => one.vif.some((vif) => vif.security_groups.includes(id)));
  return (
    <section className="card">
      <h2>{t("security_group.touches", { n: rows.length })}</h2>
      {rows.length > 0 && (
        <Table<Instance>
          label={t("instances")}
          rows={rows}
          id={(one) => one.id}
          columns={[
            { title: t("name"), cell: (one) => <Named to={`/instances/${one.id}`} id={one.id} name={one.display_name} /> },
            { title: t("state"), cell: (one) => <State state={one.state} /> },
          ]}
        />
      )}
    </section>
  );
}
