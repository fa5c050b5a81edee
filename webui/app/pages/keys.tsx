// SSH 鍵: what one enters machines with. A key made here is shown once.

import { useState } from "react";
import type { SshKeyPair } from "../api/types";
import { Copy, Dialog, Field, Head, Help, Named, Time } from "../parts/basics";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";

export function KeysPage() {
  const { t } = useWords();
  const { can } = useSession();
  const [made, setMade] = useState<SshKeyPair | null>(null);
  return (
    <>
      <Head title={t("keys")}>
        {can("change") && (
          <>
            <Maker
              label={t("key.register")}
              change={(field) => ({
                method: "POST",
                path: "ssh_key_pairs",
                body: { display_name: field("name"), public_key: field("public_key") },
              })}
            >
              <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
              <Field label={t("key.public")} hint={t("key.public_hint")}>
                {(id, hint) => <textarea id={id} name="public_key" rows={4} required aria-describedby={hint} placeholder="ssh-ed25519 AAAA…" />}
              </Field>
            </Maker>
            <Maker<SshKeyPair>
              primary
              label={t("key.make")}
              done={setMade}
              change={(field) => ({ method: "POST", path: "ssh_key_pairs", body: { display_name: field("name") } })}
            >
              <Field label={t("name")} hint={t("key.make_hint")}>
                {(id, hint) => <input id={id} name="name" required aria-describedby={hint} />}
              </Field>
            </Maker>
          </>
        )}
      </Head>
      <Help>{t("keys.help")}</Help>
      <Listing<SshKeyPair>
        label={t("keys")}
        path="ssh_key_pairs"
        id={(one) => one.id}
        empty={<Empty title={t("keys.empty")} />}
        columns={[
          { title: t("name"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
          { title: t("finger_print"), cell: (one) => <code className="long">{one.finger_print}</code> },
          { title: t("created"), cell: (one) => <Time at={one.created_at} /> },
          ...(can("change")
            ? [{ title: t("actions"), cell: (one: SshKeyPair) => <Remove path={`ssh_key_pairs/${one.id}`} name={one.display_name || one.id} /> }]
            : []),
        ]}
      />
      <Dialog title={t("key.made")} open={made !== null} close={() => setMade(null)}>
        <p>{t("key.made_once")}</p>
        <pre className="secret">{made?.private_key}</pre>
        <div className="actions">
          <Copy text={made?.private_key ?? ""} />
          <button type="button" className="primary" onClick={() => setMade(null)}>
            {t("close")}
          </button>
        </div>
      </Dialog>
    </>
  );
}
