// Why a machine is (or would be) where it is: every host that was judged, by every rule.

import type { HostVerdict } from "../api/types";
import { useWords } from "../words/use";

/** What a rule compares, as people read it: the API writes sizes in MiB and states in its own words. */
function useJudged() {
  const { word, mebibytes } = useWords();
  return (text: string) => {
    const size = /^(\d+) MiB$/.exec(text);
    return size ? mebibytes(Number(size[1])) : word("judged", text);
  };
}

export function Verdicts({ verdicts, left }: { verdicts: HostVerdict[]; left: number }) {
  const { t, word } = useWords();
  const judged = useJudged();
  return (
    <div className="verdicts">
      {verdicts.map((verdict) => (
        <details key={verdict.host} open={verdicts.length <= 3}>
          <summary>
            <code>{verdict.host}</code> {verdict.fits ? `✓ ${t("placement.fits")}` : `✕ ${t("placement.fits_not")}`}
          </summary>
          <table aria-label={verdict.host}>
            <thead>
              <tr>
                <th scope="col">{t("placement.rule")}</th>
                <th scope="col">{t("placement.needed")}</th>
                <th scope="col">{t("placement.had")}</th>
                <th scope="col">{t("placement.verdict")}</th>
              </tr>
            </thead>
            <tbody>
              {verdict.rules.map((rule) => (
                <tr key={rule.rule}>
                  <td>{word("rule", rule.rule)}</td>
                  <td>{judged(rule.needed)}</td>
                  <td>{judged(rule.had)}</td>
                  <td>{rule.ok ? `✓ ${t("placement.ok")}` : `✕ ${t("placement.not_ok")}`}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
      ))}
      {left > 0 && <p className="quiet">{t("placement.left_out", { n: left })}</p>}
    </div>
  );
}
