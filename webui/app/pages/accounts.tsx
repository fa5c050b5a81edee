// アカウントとユーザー, for operators: what accounts there are, what each has and may have. Who signs in: `users.tsx`.

import { useQuery } from "@tanstack/react-query";
import { get } from "../api/client";
import { useChange } from "../api/queries";
import type { Account } from "../api/types";
import { Field, Head, Help, Meter, Named } from "../parts/basics";
import { Edit } from "../parts/edit";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty, Failed } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Users } from "./users";

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
          { title: t("instances"), cell: (one) => <Used one={one} what="instance.count" of={one.quota_instances} /> },
          { title: t("volumes"), cell: (one) => <Used one={one} what="volume.count" of={one.quota_volumes} /> },
          ...(can("operate") ? [{ title: t("actions"), cell: (one: Account) => <Verbs one={one} /> }] : []),
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

/** What an account has now, of what it may have. */
function Used({ one, what, of }: { one: Account; what: "instance.count" | "volume.count"; of: number | null | undefined }) {
  const { t } = useWords();
  // A key of its own: a busy data center's events would have every account's asked for again and again.
  const used = useQuery({ queryKey: ["used_of", one.id], queryFn: () => get<Record<string, number>>(`accounts/${one.id}/usage`), refetchInterval: 30_000 });
  if (!used.data) return "…";
  return <Meter label={what === "instance.count" ? t("instances") : t("volumes")} value={used.data[what] ?? 0} of={of} hideLabel />;
}

function Verbs({ one }: { one: Account }) {
  const { t } = useWords();
  const change = useChange();
  const toggle = () => change.mutate({ method: "PUT", path: `accounts/${one.id}`, body: { enabled: !one.enabled } });
  return (
    <span className="actions">
      <Edit<Account>
        label={t("quota.change")}
        title={t("quota.change_of", { name: one.display_name || one.id })}
        path={`accounts/${one.id}`}
        body={(field) => ({ display_name: field("name"), quota_instances: field("instances") || "none", quota_volumes: field("volumes") || "none" })}
      >
        {(one) => (
          <>
            <Field label={t("name")}>{(id) => <input id={id} name="name" defaultValue={one.display_name ?? ""} />}</Field>
            <Quotas one={one} />
          </>
        )}
      </Edit>
      {one.enabled ? (
        <Maker danger label={t("account.disable")} change={() => ({ method: "PUT", path: `accounts/${one.id}`, body: { enabled: false } })}>
          <p>{t("account.disable_ask", { name: one.display_name || one.id })}</p>
        </Maker>
      ) : (
        <button type="button" disabled={change.isPending} onClick={toggle}>
          {t("account.enable")}
        </button>
      )}
      <Remove path={`accounts/${one.id}`} name={one.display_name || one.id} />
      {change.error && <Failed error={change.error} />}
    </span>
  );
}
