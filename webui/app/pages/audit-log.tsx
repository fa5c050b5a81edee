// 操作記録: who changed what, when, from where.

import type { AuditEntry } from "../api/types";
import { Head, Help, Time } from "../parts/basics";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { Thing } from "../parts/thing";
import { type Language, isKey, say } from "../words/say";
import { useWords } from "../words/use";

/** `volume.create` in words: of what, and what. One that a newer API has more is shown as it is. */
export function verbInWords(language: Language, verb: string): string {
  const dot = verb.indexOf(".");
  const [of, what] = [`verb_of.${verb.slice(0, dot)}`, `verb_does.${verb.slice(dot + 1)}`];
  return isKey(of) && isKey(what) ? say(language, "verb.did", { thing: say(language, of), action: say(language, what) }) : verb;
}

/** In words, with the API's own beneath. */
function Verb({ verb }: { verb: string }) {
  const { language } = useWords();
  return (
    <span className="named">
      <span>{verbInWords(language, verb)}</span>
      <code className="quiet">{verb}</code>
    </span>
  );
}

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
          { title: t("verb"), cell: (one) => <Verb verb={one.verb} /> },
          { title: t("resource"), cell: (one) => <Thing id={one.resource} /> },
          { title: t("by"), cell: (one) => <code>{one.token}</code> },
          { title: t("account"), cell: (one) => <code>{one.account}</code> },
          { title: t("from"), cell: (one) => one.address },
        ]}
      />
    </>
  );
}
