// なぜ？: what the naming services of a network say of one of its machines: the last questions, option by option, and the
// answers or the reasons of silence.

import { useState } from "react";
import { useOne } from "../api/queries";
import type { DhcpExchange, DhcpOption, NetworkVif, NetworkWhy, WhyOfService } from "../api/types";
import { Facts, Field, Help, Named, State, Time } from "../parts/basics";
import { Failed, Loading } from "../parts/states";
import { useWords } from "../words/use";

/** No event tells of a question that was asked on the wire. */
const LOOK_MS = 3_000;
const MAC = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i;

export function Why({ network, vifs }: { network: string; vifs: NetworkVif[] }) {
  const { t } = useWords();
  const [asked, setAsked] = useState("");
  const names = vifs.flatMap((one) => [one.hostname, one.mac_addr]).filter((one): one is string => !!one);
  return (
    <section className="card">
      <h2>{t("network.why")}</h2>
      <Help>{t("network.why_help")}</Help>
      <form
        className="line-form"
        onSubmit={(event) => {
          event.preventDefault();
          setAsked(String(new FormData(event.currentTarget).get("of") ?? "").trim());
        }}
      >
        <Field label={t("network.why_of")} hint={t("network.why_hint")}>
          {(id, hint) => <input id={id} aria-describedby={hint} name="of" list="why-names" required />}
        </Field>
        <datalist id="why-names">
          {names.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
        <button type="submit">{t("network.why_ask")}</button>
      </form>
      {asked && <Answer key={asked} network={network} asked={asked} />}
    </section>
  );
}

function Answer({ network, asked }: { network: string; asked: string }) {
  const { t } = useWords();
  const of = MAC.test(asked) ? { mac: asked } : { name: asked };
  const found = useOne<NetworkWhy>(`networks/${network}/why`, of, { every: LOOK_MS });
  if (found.error && !found.data) return <Failed error={found.error} />;
  if (!found.data) return <Loading />;
  const why = found.data;
  return (
    <>
      <Facts
        rows={[
          [t("instance"), why.instance_id ? <Named to={`/instances/${why.instance_id}`} id={why.instance_id} /> : "–"],
          [t("hostname"), why.hostname ?? "–"],
          [t("mac"), why.mac_addr ?? "–"],
          [t("address"), why.ipv4_address ?? "–"],
          [t("network.version"), why.version],
        ]}
      />
      {why.naming_services.map((one) => (
        <OfService key={one.agent} one={one} version={why.version} />
      ))}
    </>
  );
}

function OfService({ one, version }: { one: WhyOfService; version: number }) {
  const { t } = useWords();
  return (
    <section className="why-service">
      <h3>
        <code>{one.agent}</code> <State state={one.version === null || one.version === undefined ? "offline" : "online"} />
      </h3>
      <p>{one.sentence}</p>
      {typeof one.version === "number" && (
        <p className="quiet">
          {t(one.version === version ? "network.version_current" : "network.version_behind", { n: one.version })}
          {!one.confirmed && ` ${t("network.version_kept")}`}
          {typeof one.age_seconds === "number" && ` ${t("network.version_age", { n: one.age_seconds })}`}
        </p>
      )}
      {one.records.length > 0 && <pre className="records">{one.records.join("\n")}</pre>}
      {one.exchanges.length === 0 ? (
        <p className="quiet">{t("network.no_exchange")}</p>
      ) : (
        <ol className="exchanges">
          {[...one.exchanges].reverse().map((exchange, index) => (
            <Exchange key={`${exchange.at}-${index}`} one={exchange} />
          ))}
        </ol>
      )}
      {one.strangers.length > 0 && (
        <p className="quiet">
          {t("network.strangers")} <code>{one.strangers.join(", ")}</code>
        </p>
      )}
    </section>
  );
}

function Exchange({ one }: { one: DhcpExchange }) {
  const { t } = useWords();
  return (
    <li>
      <details>
        <summary>
          <Time at={one.at} /> <code>{one.message.toUpperCase()}</code> {one.asked && <code>{one.asked}</code>} →{" "}
          {one.answer ? <code>{`${one.answer.toUpperCase()} ${one.given ?? ""}`}</code> : t("network.silence")}
          {one.sentence && <span className="quiet"> {one.sentence}</span>}
        </summary>
        <Options title={t("network.asked_options")} options={one.asked_options} />
        <Options title={t("network.answered_options")} options={one.answered_options} />
      </details>
    </li>
  );
}

function Options({ title, options }: { title: string; options: DhcpOption[] }) {
  if (options.length === 0) return null;
  return (
    <>
      <h4>{title}</h4>
      <dl className="options">
        {options.map((one) => (
          <div key={one.code}>
            <dt>
              <code>{`${one.code} ${one.name}`}</code>
            </dt>
            <dd>
              <code>{one.value}</code>
            </dd>
          </div>
        ))}
      </dl>
    </>
  );
}
