// Why a machine is (or would be) where it is: every host that was judged, by every rule.

import type { HostVerdict } from "../api/types";
import { useWords } from "../words/use";

export function Verdicts({ verdicts, left }: { verdicts: HostVerdict[]; left: number }) {
  const { t, word } = useWords();
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
                  <td>{rule.needed}</td>
                  <td>{rule.had}</td>
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
