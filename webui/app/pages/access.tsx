// アクセス: tokens of programs, one's own password, what the account may hold.

import { useState } from "react";
import { useOne } from "../api/queries";
import type { Account, Role, Token } from "../api/types";
import { Copy, Dialog, Facts, Field, Head, Help, Meter, Named, Time } from "../parts/basics";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty, Failed } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

export function AccessPage() {
  const { t } = useWords();
  const { who, account, can } = useSession();
  return (
    <>
      <Head title={t("access")}>{can("change") && <MakeToken />}</Head>
      <div className="columns">
        <section className="card">
          <h2>{t("me")}</h2>
          <Facts
            rows={[
              [t("user_name"), who.user?.name ?? "–"],
              [t("token"), <code>{who.token}</code>],
              [t("role"), t(`role.${who.role}`)],
              [t("account"), account || t("account.all")],
              [t("expires"), who.expires_at ? <Time at={who.expires_at} /> : t("never")],
            ]}
          />
          {who.user && <Password />}
        </section>
        {account && account !== "all" && <Quota account={account} />}
      </div>
      <section className="card">
        <h2>{t("tokens")}</h2>
        <Help>{t("tokens.help")}</Help>
        <Tokens />
      </section>
    </>
  );
}

function Quota({ account }: { account: string }) {
  const { t } = useWords();
  const quota = useOne<Account>(`accounts/${account}`);
  const used = useOne<Record<string, number>>(`accounts/${account}/usage`);
  if (quota.error) return <Failed error={quota.error} />;
  return (
    <section className="card">
      <h2>{t("quota")}</h2>
      <Meter label={t("instances")} value={used.data?.["instance.count"] ?? 0} of={quota.data?.quota_instances} />
      <Meter label={t("volumes")} value={used.data?.["volume.count"] ?? 0} of={quota.data?.quota_volumes} />
      <Help>{t("quota.help")}</Help>
    </section>
  );
}

function Password() {
  const { t } = useWords();
  return (
    <Maker
      label={t("password.change")}
      change={(field) => ({
        method: "PUT",
        path: "whoami/password",
        body: { password: field("password"), new_password: field("new_password") },
      })}
    >
      <Field label={t("password.now")}>
        {(id) => <input id={id} name="password" type="password" autoComplete="current-password" required />}
      </Field>
      <Field label={t("password.new")}>
        {(id) => <input id={id} name="new_password" type="password" autoComplete="new-password" required />}
      </Field>
      <p className="hint">{t("password.ends")}</p>
    </Maker>
  );
}

const DAY = 86_400;

function MakeToken() {
  const { t } = useWords();
  const { who, can } = useSession();
  const [made, setMade] = useState<Token | null>(null);
  const roles: Role[] = can("operate") ? ["member", "auditor", "operator"] : ["member", "auditor"];
  return (
    <>
      <Maker<Token>
        primary
        label={t("token.make")}
        done={setMade}
        change={(field) => ({
          method: "POST",
          path: "tokens",
          body: {
            display_name: field("name"),
            role: field("role"),
            ...(Number(field("days")) > 0 ? { expires_in: Number(field("days")) * DAY } : {}),
          },
        })}
      >
        <Field label={t("name")} hint={t("token.name_hint")}>
          {(id, hint) => <input id={id} name="name" required aria-describedby={hint} />}
        </Field>
        <Field label={t("role")}>
          {(id) => (
            <select id={id} name="role" defaultValue={who.role === "auditor" ? "auditor" : "member"}>
              {roles.map((role) => (
                <option key={role} value={role}>
                  {t(`role.${role}`)}
                </option>
              ))}
            </select>
          )}
        </Field>
        <Field label={t("token.days")} hint={t("token.days_hint")}>
          {(id, hint) => <input id={id} name="days" type="number" min="0" defaultValue="90" aria-describedby={hint} />}
        </Field>
      </Maker>
      <Dialog title={t("token.made")} open={made !== null} close={() => setMade(null)}>
        <p>{t("token.made_once")}</p>
        <pre className="secret">{made?.secret}</pre>
        <div className="actions">
          <Copy text={made?.secret ?? ""} />
          <button type="button" className="primary" onClick={() => setMade(null)}>
            {t("close")}
          </button>
        </div>
      </Dialog>
    </>
  );
}

/** Only operators end an operator's token. */
function isOperators(role: Role): boolean {
  return role === "admin" || role === "operator";
}

function Tokens() {
  const { t } = useWords();
  const { can, who } = useSession();
  return (
    <Listing<Token>
      label={t("tokens")}
      path="tokens"
      id={(one) => one.id}
      empty={<Empty title={t("none")} />}
      columns={[
        { title: t("name"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
        { title: t("role"), cell: (one) => t(`role.${one.role}`) },
        { title: t("last_used"), cell: (one) => <Time at={one.last_used_at} /> },
        {
          title: t("expires"),
          cell: (one) => (one.revoked_at ? t("token.revoked") : one.expires_at ? <Time at={one.expires_at} /> : t("never")),
        },
        ...(can("change")
          ? [
              {
                title: t("actions"),
                cell: (one: Token) =>
                  one.revoked_at || (isOperators(one.role) && !can("operate")) ? "–" : one.id === who.token ? <span className="quiet">{t("token.this")}</span> : <Remove path={`tokens/${one.id}`} name={one.display_name || one.id} />,
              },
            ]
          : []),
      ]}
    />
  );
}
