// 操作記録: who changed what, when, from where.

import type { AuditEntry } from "../api/types";
import { Head, Help, Time } from "../parts/basics";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useWords } from "../words/use";

export function AuditLogPage() {
  const { t } = useWords();
  return (
    <>
      <Head title={t("audit_log")} />
      <Help>{t("audit_log.help")}</Help>
      <Listing<AuditEntry>
        label={t("audit_log")}
        path="audit_log"
        every={15_000}
        id={(one) => one.request + one.verb + one.resource}
        empty={<Empty title={t("none")} />}
        columns={[
          { title: t("at"), cell: (one) => <Time at={one.at} /> },
          { title: t("verb"), cell: (one) => <code>{one.verb}</code> },
          { title: t("resource"), cell: (one) => <code>{one.resource}</code> },
          { title: t("by"), cell: (one) => <code>{one.token}</code> },
          { title: t("account"), cell: (one) => <code>{one.account}</code> },
          { title: t("from"), cell: (one) => one.address },
        ]}
      />
    </>
  );
}
