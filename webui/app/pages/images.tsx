// イメージ: what machines are made of. From a file (with its progress) or from an address; shared by operators.

import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { send, upload } from "../api/client";
import { useChange } from "../api/queries";
import type { Image } from "../api/types";
import { Bar, Dialog, Field, Head, Help, Named, State } from "../parts/basics";
import { Maker } from "../parts/maker";
import { Remove } from "../parts/remove";
import { Empty, Failed, Reason } from "../parts/states";
import { type Column, Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { CopyTo } from "./copy";

/** QEMU's own format begins with these letters, whatever the file is called. */
export async function formatOf(file: Blob): Promise<"qcow2" | "raw"> {
  const head = new Uint8Array(await file.slice(0, 4).arrayBuffer());
  const magic = [0x51, 0x46, 0x49, 0xfb];
  return magic.every((byte, at) => head[at] === byte) ? "qcow2" : "raw";
}

/** That an image has come is told by an event; how far one is that comes, by none. */
const EVERY_MS = 3_000;
const pace = (rows: Image[]) => (rows.some((one) => one.state === "creating") ? EVERY_MS : false);

export function ImagesPage() {
  const { t } = useWords();
  const { can } = useSession();
  return (
    <>
      <Head title={t("images")}>
        {can("change") && (
          <>
            <Register />
            <Upload />
          </>
        )}
      </Head>
      <Help>{t("images.help")}</Help>
      <Listing<Image>
        label={t("images")}
        path="images"
        every={pace}
        id={(one) => one.id}
        columns={useColumns()}
        empty={<Empty title={t("images.empty")} />}
      />
    </>
  );
}

function useColumns(): Column<Image>[] {
  const { t, bytes } = useWords();
  const { can, account } = useSession();
  const columns: Column<Image>[] = [
    { title: t("name"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
    {
      title: t("state"),
      cell: (one) => (
        <>
          <State state={one.state} />
          {one.progress && <Bar percent={one.progress.percent} label={one.progress.note} />}
          {one.failure && <Reason failure={one.failure} />}
        </>
      ),
    },
    { title: t("size"), cell: (one) => (one.size ? bytes(one.size) : "–"), end: true },
    { title: t("format"), cell: (one) => `${one.file_format} / ${one.arch}` },
    { title: t("login_user"), cell: (one) => one.login_user ?? "–" },
    { title: t("image.shared"), cell: (one) => <span className="unbroken">{one.is_public ? t("image.public") : t("image.own")}</span> },
  ];
  if (!can("change")) return columns;
  return [
    ...columns,
    {
      title: t("actions"),
      cell: (one) => (
        <span className="actions">
          {can("operate") && <Share one={one} />}
          {one.state === "available" && (can("operate") || one.account_id === account) && <CopyTo path={`images/${one.id}`} name={one.display_name || one.id} />}
          {(can("operate") || one.account_id === account) && <Remove path={`images/${one.id}`} name={one.display_name || one.id} />}
        </span>
      ),
    },
  ];
}

function Share({ one }: { one: Image }) {
  const { t } = useWords();
  const change = useChange();
  const share = () => change.mutate({ method: "PUT", path: `images/${one.id}`, body: { is_public: !one.is_public } });
  return (
    <button type="button" disabled={change.isPending} onClick={share}>
      {one.is_public ? t("image.unshare") : t("image.share")}
    </button>
  );
}

function Register() {
  const { t } = useWords();
  return (
    <Maker
      label={t("image.register")}
      change={(field) => ({
        method: "POST",
        path: "images",
        body: {
          uri: field("uri"),
          display_name: field("name"),
          file_format: field("format"),
          ...(field("checksum") ? { checksum: field("checksum") } : {}),
        },
      })}
    >
      <Field label={t("image.uri")} hint={t("image.uri_hint")}>
        {(id, hint) => <input id={id} name="uri" type="url" required placeholder="https://" aria-describedby={hint} />}
      </Field>
      <Field label={t("name")}>{(id) => <input id={id} name="name" required />}</Field>
      <Field label={t("format")}>
        {(id) => (
          <select id={id} name="format">
            <option>qcow2</option>
            <option>raw</option>
          </select>
        )}
      </Field>
      <Field label={t("image.checksum")} hint={t("image.checksum_hint")}>
        {(id, hint) => <input id={id} name="checksum" aria-describedby={hint} />}
      </Field>
    </Maker>
  );
}

function Upload() {
  const { t, percent } = useWords();
  const client = useQueryClient();
  const [open, setOpen] = useState(false);
  const [part, setPart] = useState<number | null>(null);
  const [error, setError] = useState<Error | null>(null);
  const stop = useRef<AbortController | null>(null);
  const run = async (name: string, file: File) => {
    setError(null);
    setPart(0);
    stop.current = new AbortController();
    try {
      const image = await send<Image>("POST", "images", { display_name: name || file.name, file_format: await formatOf(file) });
      await upload(`images/${image.id}/content`, file, setPart, stop.current.signal);
      setOpen(false);
    } catch (problem) {
      if (!(problem instanceof DOMException)) setError(problem as Error);
    }
    setPart(null);
    void client.invalidateQueries({ queryKey: ["images"] });
  };
  const close = () => {
    stop.current?.abort();
    setOpen(false);
  };
  return (
    <>
      <button type="button" className="primary" onClick={() => setOpen(true)}>
        {t("image.upload")}
      </button>
      <Dialog title={t("image.upload")} open={open} close={close}>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            const form = new FormData(event.currentTarget);
            const file = form.get("file");
            if (file instanceof File) void run(String(form.get("name") ?? "").trim(), file);
          }}
        >
          <Field label={t("image.file")} hint={t("image.file_hint")}>
            {(id, hint) => <input id={id} name="file" type="file" required aria-describedby={hint} />}
          </Field>
          <Field label={t("name")}>{(id) => <input id={id} name="name" />}</Field>
          {part !== null && <Bar percent={part * 100} label={part < 1 ? t("image.sending", { part: percent(part) }) : t("image.checking")} />}
          {error && <Failed error={error} />}
          <div className="actions">
            <button type="button" onClick={close}>
              {t("cancel")}
            </button>
            <button type="submit" className="primary" disabled={part !== null}>
              {t("image.upload")}
            </button>
          </div>
        </form>
      </Dialog>
    </>
  );
}
