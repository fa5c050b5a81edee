// ユーザー, for operators: who signs in, for which accounts, as what. Rule: memberships are sent as a whole, because the API replaces
// them as a whole.

import { useState } from "react";
import type { Membership, Role, User } from "../api/types";
import { Field, Head, Named } from "../parts/basics";
import { Edit } from "../parts/edit";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

const ROLES: readonly Role[] = ["member", "auditor", "operator", "admin"];

export function Users() {
  const { t } = useWords();
  const { can } = useSession();
  return (
    <>
      <Head level="h2" title={t("users")}>
        {can("operate") && <CreateUser />}
      </Head>
      <Listing<User>
        label={t("users")}
        path="users"
        id={(one) => one.id}
        empty={<Empty title={t("users.empty")} />}
        columns={[
          { title: t("user_name"), cell: (one) => <Named id={one.id} name={one.name} /> },
          { title: t("user.display_name"), cell: (one) => one.display_name || "–" },
          { title: t("memberships"), cell: (one) => one.memberships.map((of) => `${of.account_id} (${t(`role.${of.role}`)})`).join(", ") || "–" },
          { title: t("state"), cell: (one) => (one.enabled ? t("enabled") : t("disabled")) },
          ...(can("operate") ? [{ title: t("actions"), cell: (one: User) => <Verbs one={one} /> }] : []),
        ]}
      />
    </>
  );
}

function CreateUser() {
  const { t } = useWords();
  const { accounts } = useSession();
  return (
    <Maker
      label={t("user.create")}
      change={(field, ticked) => ({
        method: "POST",
        path: "users",
        body: { name: field("name"), display_name: field("display_name"), password: field("password"), memberships: memberships(ticked) },
      })}
    >
      <Field label={t("user_name")} hint={t("user.name_hint")}>
        {(id, hint) => <input id={id} name="name" required autoComplete="off" aria-describedby={hint} />}
      </Field>
      <Field label={t("user.display_name")}>{(id) => <input id={id} name="display_name" />}</Field>
      <Field label={t("password")} hint={t("user.password_hint")}>
        {(id, hint) => <input id={id} name="password" type="password" autoComplete="new-password" required aria-describedby={hint} />}
      </Field>
      <Memberships first={accounts[0] ? [{ account_id: accounts[0], role: "member" }] : []} />
    </Maker>
  );
}

function Verbs({ one }: { one: User }) {
  const { t } = useWords();
  return (
    <span className="actions">
      <Edit<User>
        label={t("user.change")}
        title={t("user.change_of", { name: one.name })}
        path={`users/${one.id}`}
        body={(field, ticked) => ({
          display_name: field("display_name"),
          enabled: ticked("enabled").length > 0,
          memberships: memberships(ticked),
          ...(field("password") ? { password: field("password") } : {}),
        })}
      >
        {(one) => (
          <>
            <Field label={t("user.display_name")}>{(id) => <input id={id} name="display_name" defaultValue={one.display_name ?? ""} />}</Field>
            <Memberships first={one.memberships} />
            <Field label={t("password.new")} hint={t("user.password_new_hint")}>
              {(id, hint) => <input id={id} name="password" type="password" autoComplete="new-password" aria-describedby={hint} />}
            </Field>
            <label className="line">
              <input type="checkbox" name="enabled" defaultChecked={one.enabled} /> {t("user.enabled")}
            </label>
          </>
        )}
      </Edit>
      <Remove path={`users/${one.id}`} name={one.name} />
    </span>
  );
}

/** Accounts and roles stand in the form one after the other, in pairs. */
function memberships(ticked: (name: string) => string[]): Membership[] {
  const roles = ticked("role");
  return ticked("account").map((account, at) => ({ account_id: account, role: (roles[at] ?? "member") as Role }));
}

function Memberships({ first }: { first: Membership[] }) {
  const { t } = useWords();
  const { accounts } = useSession();
  const [rows, setRows] = useState(() => first.map((one, key) => ({ ...one, key })));
  const known = [...new Set([...accounts, ...first.map((one) => one.account_id)])];
  const add = () => setRows([...rows, { key: Math.max(-1, ...rows.map((row) => row.key)) + 1, account_id: known[0] ?? "", role: "member" }]);
  return (
    <fieldset className="memberships">
      <legend>{t("memberships")}</legend>
      {rows.length === 0 && <p className="hint">{t("memberships.none")}</p>}
      {rows.map((row, at) => (
        <div key={row.key} className="pair">
          <select name="account" defaultValue={row.account_id} aria-label={t("memberships.account", { n: at + 1 })}>
            {known.map((account) => (
              <option key={account}>{account}</option>
            ))}
          </select>
          <select name="role" defaultValue={row.role} aria-label={t("memberships.role", { n: at + 1 })}>
            {ROLES.map((role) => (
              <option key={role} value={role}>
                {t(`role.${role}`)}
              </option>
            ))}
          </select>
          <button type="button" aria-label={t("memberships.remove", { n: at + 1 })} onClick={() => setRows(rows.filter((one) => one.key !== row.key))}>
            {t("rule.out")}
          </button>
        </div>
      ))}
      <button type="button" onClick={add}>
        {t("memberships.add")}
      </button>
    </fieldset>
  );
}
