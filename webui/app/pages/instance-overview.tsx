// What one machine is: its size and place, its addresses, its disks, and what of it may be changed while it runs.

import { Link } from "wouter";
import { useList, useOne } from "../api/queries";
import type { Image, Instance, SecurityGroup, SshKeyPair, Volume } from "../api/types";
import { Copy, Facts, Field, Help, Named, State, Time } from "../parts/basics";
import { Edit } from "../parts/edit";
import { Maker } from "../parts/maker";
import { isGone } from "../parts/moving";
import { Loading } from "../parts/states";
import { Table } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Detach, ForceDetach } from "./detach";

export const RESTART_POLICIES = ["always", "on-failure", "never"] as const;

export function Overview({ one }: { one: Instance }) {
  const { t, word, mebibytes } = useWords();
  const { can } = useSession();
  // It may be gone by now: then its id is all there is.
  const image = useOne<Image>(`images/${one.image_id}`);
  return (
    <div className="columns">
      <section className="card">
        <h2>{t("overview")}</h2>
        <Facts
          rows={[
            [t("id"), <code>{one.id}</code>],
            [t("image"), <Named id={one.image_id} name={image.data?.display_name} />],
            [t("instance_type"), one.instance_type ?? "–"],
            [t("size"), t("size.words", { n: one.cpu_cores, memory: mebibytes(one.memory_size) })],
            [t("disk"), mebibytes(one.disk_size)],
            [t("hostname"), one.hostname],
            [t("host"), one.host_node ?? "–"],
            [t("key"), one.ssh_key_pair?.display_name || one.ssh_key_pair?.uuid || "–"],
            [t("restart"), word("restart", one.restart_policy ?? "always")],
            [t("account"), <code>{one.account_id}</code>],
            [t("created"), <Time at={one.created_at} />],
          ]}
        />
        {can("change") && !isGone(one.state) && (
          <div className="actions">
            <Settings one={one} />
          </div>
        )}
      </section>
      <div>
        <Addresses one={one} login={image.data?.login_user} />
        <Volumes one={one} />
      </div>
    </div>
  );
}

/** How one gets in, as it is typed. Without a key nobody does. */
export function sshLine(one: Instance, login: string | null | undefined): string | undefined {
  const first = one.vif[0]?.ipv4;
  const address = first?.nat_address ?? first?.address;
  return one.ssh_key_pair && address ? `ssh ${login ? `${login}@` : ""}${address}` : undefined;
}

function Addresses({ one, login }: { one: Instance; login: string | null | undefined }) {
  const { t } = useWords();
  const ssh = sshLine(one, login);
  return (
    <section className="card">
      <h2>{t("addresses")}</h2>
      {one.vif.length === 0 && <p className="quiet">{t("none")}</p>}
      {one.vif.map((vif) => (
        <Facts
          key={vif.vif_id}
          rows={[
            [t("address"), <code>{vif.ipv4?.address ?? "–"}</code>],
            [t("dns_name"), vif.dns_name ? <code>{vif.dns_name}</code> : "–"],
            [t("mac"), <code>{vif.mac_addr ?? "–"}</code>],
            [t("network"), <Named to={`/networks/${vif.network_id}`} id={vif.network_id} />],
            [
              t("security_groups"),
              vif.security_groups.length === 0
                ? t("none")
                : vif.security_groups.map((group) => <Named key={group} to={`/security-groups/${group}`} id={group} />),
            ],
          ]}
        />
      ))}
      {ssh && one.state === "running" && (
        <>
          <Facts
            rows={[
              [
                t("instance.ssh"),
                <>
                  <code>{ssh}</code> <Copy text={ssh} />
                </>,
              ],
            ]}
          />
          <p className="hint">{t("instance.ssh_hint")}</p>
        </>
      )}
    </section>
  );
}

function Settings({ one }: { one: Instance }) {
  const { t, word } = useWords();
  const groups = useList<SecurityGroup>("security_groups", { limit: 1000 });
  const keys = useList<SshKeyPair>("ssh_key_pairs", { limit: 1000 });
  const groupsOf = (instance: Instance) => new Set(instance.vif.flatMap((vif) => vif.security_groups));
  const keyOf = (instance: Instance) => instance.ssh_key_pair?.uuid ?? "";
  // Of its own account only: an operator who acts for all sees those of others too.
  const own = (groups.data?.results ?? []).filter((group) => group.account_id === one.account_id || groupsOf(one).has(group.id));
  return (
    <Edit<Instance>
      label={t("instance.settings")}
      path={`instances/${one.id}`}
      body={(field, ticked, was) => {
        const [chosen, used] = [ticked("groups"), groupsOf(was)];
        const sameGroups = chosen.length === used.size && chosen.every((group) => used.has(group));
        return {
          display_name: field("name"),
          restart_policy: field("restart"),
          ...(field("key") && field("key") !== keyOf(was) ? { ssh_key_id: field("key") } : {}),
          // What was not touched is not sent: interfaces may have groups of their own each.
          ...(sameGroups ? {} : { security_groups: chosen }),
        };
      }}
    >
      {(one) => (
        <>
          <Field label={t("name")}>{(id) => <input id={id} name="name" defaultValue={one.display_name ?? ""} maxLength={255} />}</Field>
          <fieldset>
            <legend>{t("restart")}</legend>
            <Help>{t("restart.help")}</Help>
            {RESTART_POLICIES.map((policy) => (
              <label key={policy} className="line">
                <input type="radio" name="restart" value={policy} defaultChecked={(one.restart_policy ?? "always") === policy} /> {word("restart", policy)}
              </label>
            ))}
          </fieldset>
          <fieldset>
            <legend>{t("security_groups")}</legend>
            {own.map((group) => (
              <label key={group.id} className="line">
                <input type="checkbox" name="groups" value={group.id} defaultChecked={groupsOf(one).has(group.id)} /> {group.display_name || group.id}{" "}
                <span className="quiet">{group.description}</span>
              </label>
            ))}
            <p className="hint">{t("instance.groups_hint")}</p>
          </fieldset>
          <Field label={t("key")} hint={t("instance.key_hint")}>
            {(id, hint) => (
              <select id={id} name="key" aria-describedby={hint} defaultValue={keyOf(one)}>
                {keyOf(one) === "" && <option value="">{t("key.none")}</option>}
                {(keys.data?.results ?? []).map((pair) => (
                  <option key={pair.id} value={pair.id}>
                    {pair.display_name || pair.id}
                  </option>
                ))}
              </select>
            )}
          </Field>
        </>
      )}
    </Edit>
  );
}

function Volumes({ one }: { one: Instance }) {
  const { t, bytes } = useWords();
  const { can } = useSession();
  const found = useOne<Volume[]>(`instances/${one.id}/volumes`);
  const volumes = found.data ?? [];
  const held = one.failure?.code === "guest_holds_volume";
  return (
    <section className="card">
      <h2>{t("volumes")}</h2>
      {!found.data && <Loading />}
      {found.data && volumes.length === 0 && <p className="quiet">{t("instance.no_volumes")}</p>}
      {volumes.length > 0 && (
        <Table<Volume>
          label={t("volumes")}
          id={(volume) => volume.id}
          rows={volumes}
          columns={[
            { title: t("name"), cell: (volume) => <Named to={`/volumes/${volume.id}`} id={volume.id} name={volume.display_name} /> },
            { title: t("size"), cell: (volume) => bytes(volume.size), end: true },
            { title: t("state"), cell: (volume) => <State state={volume.state} /> },
            ...(can("change")
              ? [
                  {
                    title: t("actions"),
                    cell: (volume: Volume) =>
                      volume.state === "attached" ? <Detach one={volume} /> : held && volume.state === "detaching" ? <ForceDetach one={volume} /> : "–",
                  },
                ]
              : []),
          ]}
        />
      )}
      {can("change") && (one.state === "running" || one.state === "halted") && <AttachOne one={one} />}
    </section>
  );
}

function AttachOne({ one }: { one: Instance }) {
  const { t, bytes } = useWords();
  const volumes = useList<Volume>("volumes", { state: "available", limit: 1000 });
  if (!volumes.data) return null;
  const free = volumes.data.results.filter((volume) => volume.account_id === one.account_id);
  if (free.length === 0) return (
    <p className="hint">
      {t("instance.no_free_volume")} <Link href="/volumes">{t("volume.create")}</Link>
    </p>
  );
  return (
    <div className="actions">
      <Maker label={t("instance.attach")} change={(field) => ({ method: "PUT", path: `volumes/${field("volume")}/attach`, body: { instance_id: one.id } })}>
        <Field label={t("volumes")}>
          {(id) => (
            <select id={id} name="volume" required>
              {free.map((volume) => (
                <option key={volume.id} value={volume.id}>
                  {volume.display_name || volume.id} ({bytes(volume.size)})
                </option>
              ))}
            </select>
          )}
        </Field>
      </Maker>
    </div>
  );
}
