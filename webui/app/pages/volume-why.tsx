// The way from a guest to the disk of its volume, for operators: asked when somebody wants to know, then every few seconds.

import { useState } from "react";
import { useOne } from "../api/queries";
import type { VolumeWhy } from "../api/types";
import { Help, State } from "../parts/basics";
import { Failed, Loading } from "../parts/states";
import { useWords } from "../words/use";

/** No event tells of a session or of a pool. */
const LOOK_MS = 5_000;

export function PathOf({ volume }: { volume: string }) {
  const { t } = useWords();
  const [asked, setAsked] = useState(false);
  return (
    <section className="card">
      <h2>{t("path")}</h2>
      <Help>{t("path.help")}</Help>
      {asked ? (
        <Path volume={volume} />
      ) : (
        <button type="button" onClick={() => setAsked(true)}>
          {t("path.follow")}
        </button>
      )}
    </section>
  );
}

function Path({ volume }: { volume: string }) {
  const { t, word } = useWords();
  const found = useOne<VolumeWhy>(`volumes/${volume}/why`, undefined, { every: LOOK_MS });
  if (found.error && !found.data) return <Failed error={found.error} />;
  if (!found.data) return <Loading />;
  return (
    <>
      <p role="status">{found.data.sentence}</p>
      <table aria-label={t("path")}>
        <thead>
          <tr>
            <th scope="col">{t("path.part")}</th>
            <th scope="col">{t("state")}</th>
            <th scope="col">{t("path.seen")}</th>
          </tr>
        </thead>
        <tbody>
          {found.data.path.map((step, index) => (
            <tr key={`${step.part}-${index}`}>
              <th scope="row">{word("path_part", step.part)}</th>
              <td>
                <State state={step.condition} />
              </td>
              <td className="path-seen">{step.sentence}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
