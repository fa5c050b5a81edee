// The user's guide, in the language of the page. Its text is a file for each language, not a catalogue: it is read, not said.

import { Head } from "../parts/basics";
import { useWords } from "../words/use";
import { GuideEn } from "./guide-en";
import { GuideJa } from "./guide-ja";

export default function GuidePage() {
  const { t, language } = useWords();
  return (
    <article className="guide card">
      <Head title={t("guide")} />
      {language === "ja" ? <GuideJa /> : <GuideEn />}
    </article>
  );
}
