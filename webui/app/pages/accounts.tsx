// アカウントとユーザー, for operators: who there is, what each may hold, who belongs where.

import type { Account, User } from "../api/types";
import { Field, Head, Help, Named } from "../parts/basics";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

export function AccountsPage() {
  const { t } = useWords();
  return (
    <>
      <Head title={t("accounts")} />
      <Help>{t("accounts.help")}</Help>
      <section className="card">
        <Accounts />
      </section>
      <section className="card">
        <Users />
      </section>
    </>
  );
}

function Accounts() {
  const { t } = useWords();
  const { can } = useSession();
  const limit = (value: number | null | undefined) => (value == null ? t("plan.no_limit") : value);
  return (
    <>
      <Head level="h2" title={t("accounts.list")}>
        {can("operate") && (
          <Maker
            label={t("account.create")}
            change={(field) => ({
              method: "POST",
              path: "accounts",
              body: {
                ...(field("id") ? { id: field("id") } : {}),
                display_name: field("name"),
                ...(field("instances") ? { quota_instances: Number(field("instances")) } : {}),
                ...(field("volumes") ? { quota_volumes: Number(field("volumes")) } : {}),
              },
            })}
          >
            <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
            <Field label={t("id")} hint={t("account.id_hint")}>
              {(id, hint) => <input id={id} name="id" pattern="a-.+" placeholder="a-team" aria-describedby={hint} />}
            </Field>
            <Quotas />
          </Maker>
        )}
      </Head>
      <Listing<Account>
        label={t("accounts.list")}
        path="accounts"
        id={(one) => one.id}
        empty={<Empty title={t("none")} />}
        columns={[
          { title: t("name"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
          { title: t("state"), cell: (one) => (one.enabled ? t("enabled") : t("disabled")) },
          { title: t("quota.instances"), cell: (one) => limit(one.quota_instances), end: true },
          { title: t("quota.volumes"), cell: (one) => limit(one.quota_volumes), end: true },
          ...(can("operate") ? [{ title: t("actions"), cell: (one: Account) => <ChangeQuota one={one} /> }] : []),
        ]}
      />
    </>
  );
}

function Quotas({ one }: { one?: Account }) {
  const { t } = useWords();
  return (
    <>
      <Field label={t("quota.instances")} hint={t("quota.empty_hint")}>
        {(id, hint) => <input id={id} name="instances" type="number" min="0" defaultValue={one?.quota_instances ?? ""} aria-describedby={hint} />}
      </Field>
      <Field label={t("quota.volumes")}>
        {(id) => <input id={id} name="volumes" type="number" min="0" defaultValue={one?.quota_volumes ?? ""} />}
      </Field>
    </>
  );
}

function ChangeQuota({ one }: { one: Account }) {
  const { t } = useWords();
  return (
    <Maker
      label={t("quota.change")}
      title={t("quota.change_of", { name: one.display_name || one.id })}
      change={(field) => ({
        method: "PUT",
        path: `accounts/${one.id}`,
        body: { quota_instances: field("instances") || "none", quota_volumes: field("volumes") || "none" },
      })}
    >
      <Quotas one={one} />
    </Maker>
  );
}

const ROLES = ["member", "auditor", "operator", "admin"] as const;

function Users() {
  const { t } = useWords();
  const { can, accounts } = useSession();
  return (
    <>
      <Head level="h2" title={t("users")}>
        {can("operate") && (
          <Maker
            label={t("user.create")}
            change={(field) => ({
              method: "POST",
              path: "users",
              body: {
                name: field("name"),
                display_name: field("display_name"),
                password: field("password"),
                memberships: [{ account_id: field("account"), role: field("role") }],
              },
            })}
          >
            <Field label={t("user_name")} hint={t("user.name_hint")}>
              {(id, hint) => <input id={id} name="name" required autoComplete="off" aria-describedby={hint} />}
            </Field>
            <Field label={t("user.display_name")}>{(id) => <input id={id} name="display_name" />}</Field>
            <Field label={t("password")} hint={t("user.password_hint")}>
              {(id, hint) => <input id={id} name="password" type="password" autoComplete="new-password" required aria-describedby={hint} />}
            </Field>
            <Field label={t("account")}>
              {(id) => (
                <select id={id} name="account">
                  {accounts.map((one) => (
                    <option key={one}>{one}</option>
                  ))}
                </select>
              )}
            </Field>
            <Field label={t("role")}>
              {(id) => (
                <select id={id} name="role">
                  {ROLES.map((role) => (
                    <option key={role} value={role}>
                      {t(`role.${role}`)}
                    </option>
                  ))}
                </select>
              )}
            </Field>
          </Maker>
        )}
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
          ...(can("operate") ? [{ title: t("actions"), cell: (one: User) => <Remove path={`users/${one.id}`} name={one.name} /> }] : []),
        ]}
      />
    </>
  );
}
