// A thing that the API names by its id, with the way to its page where it has one that may be looked at.

import { Link } from "wouter";
import { useSession } from "../session";

/** Pages by the beginning of an id; those of the data center are the operators'. */
const PAGES: Record<string, { to: string; operators?: boolean }> = {
  i: { to: "/instances" },
  vol: { to: "/volumes" },
  nw: { to: "/networks" },
  sg: { to: "/security-groups" },
  hn: { to: "/hosts", operators: true },
  sn: { to: "/storage", operators: true },
};

export function pageOf(id: string, operator: boolean): string | undefined {
  const page = PAGES[id.slice(0, Math.max(0, id.indexOf("-")))];
  return page && (operator || !page.operators) ? `${page.to}/${id}` : undefined;
}

export function Thing({ id }: { id: string }) {
  const { can } = useSession();
  const page = pageOf(id, can("operate"));
  const shown = <code className="quiet">{id}</code>;
  return page ? <Link href={page}>{shown}</Link> : shown;
}
