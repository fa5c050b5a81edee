// A new machine. Rule: every field has a sane default, so that opening the page and pressing the button is enough; what would
// happen is asked of the API (`?plan=true`) with each change and shown beside.

import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useLocation } from "wouter";
import { type Refused, send } from "../api/client";
import { useChange, useList } from "../api/queries";
import type { Image, Instance, InstanceType, LaunchPlan, Network, SecurityGroup, SshKeyPair } from "../api/types";
import { Field, Head, Help } from "../parts/basics";
import { Verdicts } from "../parts/placement";
import { Empty, Failed, Loading } from "../parts/states";
import { useSession } from "../session";
import { useWords } from "../words/use";

interface Choice {
  name: string;
  image: string;
  type: string;
  network: string;
  groups: string[];
  key: string;
  userData: string;
  volume: string;
}

function freshName(): string {
  const word = [...crypto.getRandomValues(new Uint8Array(4))].map((byte) => (byte % 36).toString(36)).join("");
  return `vm-${word}`;
}

export function body(choice: Choice): Record<string, unknown> {
  return {
    image_id: choice.image,
    instance_type: choice.type,
    display_name: choice.name,
    ...(/^[0-9a-z][0-9a-z-]{0,31}$/.test(choice.name) ? { hostname: choice.name } : {}),
    security_groups: choice.groups,
    vifs: { eth0: { index: 0, network: choice.network } },
    ...(choice.key ? { ssh_key_id: choice.key } : {}),
    ...(choice.userData ? { user_data: choice.userData } : {}),
    ...(Number(choice.volume) > 0 ? { volumes: { "00": { volume_size: Math.round(Number(choice.volume) * 1024) } } } : {}),
  };
}

export function LaunchPage() {
  const { t } = useWords();
  const { account } = useSession();
  const images = useList<Image>("images", { limit: 1000 });
  const types = useList<InstanceType>("instance_types", { limit: 1000 });
  const networks = useList<Network>("networks", { limit: 1000 });
  const groups = useList<SecurityGroup>("security_groups", { limit: 1000 });
  const keys = useList<SshKeyPair>("ssh_key_pairs", { limit: 1000 });
  const error = images.error ?? types.error ?? networks.error ?? groups.error ?? keys.error;
  if (error) return <Failed error={error} />;
  if (!account || account === "all") return <Empty title={t("choose_account")} />;
  if (!images.data || !types.data || !networks.data || !groups.data || !keys.data) return <Loading />;
  const usable = images.data.results.filter((image) => image.state === "available");
  if (usable.length === 0) return <Empty title={t("launch.no_image")} />;
  return (
    <Form
      images={usable}
      types={[...types.data.results].sort((one, other) => one.memory_size - other.memory_size)}
      networks={[...networks.data.results].sort((one, other) => one.id.localeCompare(other.id))}
      groups={groups.data.results}
      keys={keys.data.results}
    />
  );
}

interface FormProps {
  images: Image[];
  types: InstanceType[];
  networks: Network[];
  groups: SecurityGroup[];
  keys: SshKeyPair[];
}

function Form({ images, types, networks, groups, keys }: FormProps) {
  const { t, mebibytes } = useWords();
  const [, go] = useLocation();
  const [choice, setChoice] = useState<Choice>(() => ({
    name: freshName(),
    image: images[0]?.id ?? "",
    type: types[0]?.id ?? "",
    network: networks[0]?.id ?? "",
    groups: groups.filter((group) => group.display_name === "default").map((group) => group.id),
    key: keys[0]?.id ?? "",
    userData: "",
    volume: "",
  }));
  const set = (change: Partial<Choice>) => setChoice({ ...choice, ...change });
  const wish = useMemo(() => body(choice), [choice]);
  const create = useChange<Instance>((instance) => go(`/instances/${instance.id}`));
  const plan = usePlan(wish);
  const option = (one: { id: string; display_name?: string | null }) => (
    <option key={one.id} value={one.id}>
      {one.display_name ? `${one.display_name} (${one.id})` : one.id}
    </option>
  );
  return (
    <>
      <Head title={t("launch")} back={["/instances", t("instances")]} />
      <form
        className="launch"
        onSubmit={(event) => {
          event.preventDefault();
          create.mutate({ method: "POST", path: "instances", body: wish });
        }}
      >
        <div className="card">
          <Field label={t("name")}>
            {(id) => <input id={id} value={choice.name} maxLength={255} required onChange={(event) => set({ name: event.target.value })} />}
          </Field>
          <Field label={t("image")} hint={t("image.hint")}>
            {(id, hint) => (
              <select id={id} aria-describedby={hint} value={choice.image} onChange={(event) => set({ image: event.target.value })}>
                {images.map(option)}
              </select>
            )}
          </Field>
          <fieldset>
            <legend>{t("instance_type")}</legend>
            <div className="choices">
              {types.map((type) => (
                <label key={type.id} className="choice">
                  <input type="radio" name="type" checked={choice.type === type.id} onChange={() => set({ type: type.id })} />
                  <strong>{type.name}</strong>
                  <span>{t("size.words", { n: type.cpu_cores, memory: mebibytes(type.memory_size) })}</span>
                  <span className="quiet">{t("size.disk", { disk: mebibytes(type.disk_size) })}</span>
                </label>
              ))}
            </div>
          </fieldset>
          <Field label={t("network")}>
            {(id) => (
              <select id={id} value={choice.network} onChange={(event) => set({ network: event.target.value })}>
                {networks.map((network) => (
                  <option key={network.id} value={network.id}>
                    {t("network.option", {
                      name: network.display_name || network.id,
                      range: `${network.ipv4_network}/${network.prefix}`,
                      free: network.addresses_total - network.addresses_used,
                    })}
                  </option>
                ))}
              </select>
            )}
          </Field>
          <fieldset>
            <legend>{t("security_groups")}</legend>
            <Help>{t("security_groups.help")}</Help>
            {groups.length === 0 && <p className="quiet">{t("security_groups.empty")}</p>}
            {groups.map((group) => (
              <label key={group.id} className="line">
                <input
                  type="checkbox"
                  checked={choice.groups.includes(group.id)}
                  onChange={(event) =>
                    set({ groups: event.target.checked ? [...choice.groups, group.id] : choice.groups.filter((id) => id !== group.id) })
                  }
                />{" "}
                {group.display_name || group.id} <span className="quiet">{group.description}</span>
              </label>
            ))}
          </fieldset>
          <Field label={t("key")} hint={t("key.hint")}>
            {(id, hint) => (
              <select id={id} aria-describedby={hint} value={choice.key} onChange={(event) => set({ key: event.target.value })}>
                <option value="">{t("key.none")}</option>
                {keys.map(option)}
              </select>
            )}
          </Field>
          <details>
            <summary>{t("launch.more")}</summary>
            <Field label={t("launch.volume")} hint={t("launch.volume_hint")}>
              {(id, hint) => (
                <input id={id} type="number" min="0" step="1" aria-describedby={hint} value={choice.volume} onChange={(event) => set({ volume: event.target.value })} />
              )}
            </Field>
            <Field label={t("user_data")} hint={t("user_data.hint")}>
              {(id, hint) => (
                <textarea id={id} rows={5} aria-describedby={hint} value={choice.userData} onChange={(event) => set({ userData: event.target.value })} />
              )}
            </Field>
          </details>
        </div>
        <aside className="card plan" aria-live="polite">
          <h2>{t("plan")}</h2>
          <Plan plan={plan.data} error={plan.error} />
          {create.error && <Failed error={create.error} />}
          <button type="submit" className="primary wide" disabled={create.isPending || !choice.network}>
            {create.isPending ? t("launch.busy") : t("launch.do")}
          </button>
        </aside>
      </form>
    </>
  );
}

function usePlan(wish: Record<string, unknown>) {
  // Asked as changes are: with the account and the language of now; never kept as something that is.
  return useQuery<LaunchPlan, Refused>({
    queryKey: ["plan", wish],
    queryFn: () => send<LaunchPlan>("POST", "instances", wish, { plan: true }),
    placeholderData: (before) => before,
    staleTime: 0,
  });
}

function Plan({ plan, error }: { plan: LaunchPlan | undefined; error: Refused | null }) {
  const { t, word, number } = useWords();
  if (error) return <Failed error={error} />;
  if (!plan) return <Loading />;
  const refusals = plan.refusals ?? [];
  return (
    <>
      {plan.fits && refusals.length === 0 ? (
        <p className="fine">✓ {t("plan.fits", { host: plan.host ?? "" })}</p>
      ) : (
        <div className="failed">
          <p className="failed-title">{t("plan.refused")}</p>
          {plan.smallest_change?.sentence && <p>{plan.smallest_change.sentence}</p>}
          {refusals.map((refusal) => (
            <p key={refusal.reason}>
              {refusal.message} <span className="quiet">{refusal.next_step}</span>
            </p>
          ))}
        </div>
      )}
      {(plan.quotas ?? []).map((quota) => (
        <p key={quota.quota} className="quiet">
          {t("plan.quota", {
            what: word("quota", quota.quota),
            used: quota.used,
            after: quota.after,
            limit: quota.limit == null ? t("plan.no_limit") : number(quota.limit),
          })}
        </p>
      ))}
      <details>
        <summary>{t("plan.why")}</summary>
        <Verdicts verdicts={plan.verdicts} left={plan.left_out ?? 0} />
      </details>
    </>
  );
}
