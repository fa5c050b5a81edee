// ストレージ, for operators: capacity at a glance, and whether a node takes new volumes.

import type { StorageNode } from "../api/types";
import { Head, Help, Meter, Named, Time } from "../parts/basics";
import { Empty } from "../parts/states";
import { Listing } from "../parts/table";
import { useSession } from "../session";
import { useWords } from "../words/use";
import { Cordon, Health } from "./hosts";

export function StoragePage() {
  const { t } = useWords();
  const { can } = useSession();
  const gib = (mib: number) => Math.round(mib / 1024);
  return (
    <>
      <Head title={t("storage")} />
      <Help>{t("storage.help")}</Help>
      <Listing<StorageNode>
        label={t("storage")}
        path="storage_nodes"
        every={10_000}
        id={(one) => one.id}
        empty={<Empty title={t("none")} />}
        columns={[
          { title: t("storage_node"), cell: (one) => <Named id={one.id} name={one.display_name} /> },
          { title: t("state"), cell: (one) => <Health one={{ ...one, degraded: one.degraded ?? null }} /> },
          { title: t("kind"), cell: (one) => one.storage_type },
          { title: t("volumes"), cell: (one) => one.volumes, end: true },
          { title: t("disk_gib"), cell: (one) => <Meter label={t("disk_gib")} value={gib(one.used_disk_space_mb)} of={gib(one.offering_disk_space_mb)} /> },
          { title: t("last_seen"), cell: (one) => <Time at={one.last_seen_at} /> },
          ...(can("operate")
            ? [{ title: t("actions"), cell: (one: StorageNode) => <Cordon path={`storage_nodes/${one.id}`} enabled={one.scheduling_enabled} /> }]
            : []),
        ]}
      />
    </>
  );
}
