// Who is signed in, as what, for which account. Rule: what one may not do is not offered; the API decides anyway.

import { type QueryClient, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, createContext, useContext, useEffect, useMemo, useState } from "react";
import { setFrame, signOut, whenSignedOut } from "./api/client";
import { type Connection, follow } from "./api/live";
import { useList, useOne } from "./api/queries";
import type { Account, Event, Whoami } from "./api/types";
import { SignIn } from "./pages/sign-in";
import { Failed, Loading } from "./parts/states";

/** The rights of the API's table of roles (`x-roles` of its document). */
export type Right = "change" | "inspect" | "operate";

export function permits(role: string, right: Right): boolean {
  if (role === "admin" || role === "operator") return true;
  if (role === "member") return right === "change";
  return role === "auditor" && right === "inspect";
}

interface Session {
  who: Whoami;
  account: string;
  accounts: string[];
  setAccount: (account: string) => void;
  can: (right: Right) => boolean;
  leave: () => void;
  connection: Connection;
  latest: Event[];
}

const Context = createContext<Session | null>(null);
const KEPT = "arame.account";
const EVENTS_KEPT = 50;

export function useSession(): Session {
  const session = useContext(Context);
  if (!session) throw new Error("no session around this page");
  return session;
}

function remembered(): string {
  const account = localStorage.getItem(KEPT) ?? "";
  setFrame({ account });
  return account;
}

export function SessionProvider({ children }: { children: ReactNode }) {
  const client = useQueryClient();
  const [account, setAccountState] = useState(remembered);
  const [isOut, setOut] = useState(false);
  const who = useOne<Whoami>("whoami", {}, { enabled: !isOut });
  useEffect(() => whenSignedOut(() => setOut(true)), []);
  const setAccount = (account: string) => {
    localStorage.setItem(KEPT, account);
    setFrame({ account });
    setAccountState(account);
    client.removeQueries();
  };
  if (isOut || who.error?.status === 401) {
    const entered = () => {
      setOut(false);
      client.clear();
      void client.refetchQueries();
    };
    return <SignIn entered={entered} expired={who.data !== undefined} />;
  }
  // An account this credential may not act for any more: back to its own.
  if (who.error && account) return <Forgotten forget={() => setAccount("")} />;
  if (who.error) return <Failed error={who.error} again={() => void who.refetch()} />;
  if (!who.data) return <Loading />;
  const leave = () => void signOut().finally(() => location.assign("/"));
  return (
    <Inside key={account} who={who.data} chosen={account} setAccount={setAccount} leave={leave} client={client}>
      {children}
    </Inside>
  );
}

function Forgotten({ forget }: { forget: () => void }) {
  useEffect(forget, [forget]);
  return <Loading />;
}

interface InsideProps {
  who: Whoami;
  chosen: string;
  setAccount: (account: string) => void;
  leave: () => void;
  client: QueryClient;
  children: ReactNode;
}

function Inside({ who, chosen, setAccount, leave, client, children }: InsideProps) {
  const [connection, setConnection] = useState<Connection>("connecting");
  const [latest, setLatest] = useState<Event[]>([]);
  const accounts = useAccounts(who);
  useEffect(
    () =>
      follow(client, (connection, event) => {
        setConnection(connection);
        if (event) setLatest((events) => [event, ...events].slice(0, EVENTS_KEPT));
      }),
    [client],
  );
  const session = useMemo<Session>(() => {
    const can = (right: Right) => permits(who.role, right);
    return { who, account: chosen || who.account_id || "", accounts, setAccount, can, leave, connection, latest };
  }, [who, chosen, accounts, setAccount, leave, connection, latest]);
  return <Context value={session}>{children}</Context>;
}

/** Operators and auditors of the data center see all accounts; a user those of its memberships; a token its own. */
function useAccounts(who: Whoami): string[] {
  // Refused or not there yet, the switch offers what is known without it.
  const found = useList<Account>("accounts", { limit: 1000 }, { enabled: permits(who.role, "inspect") });
  const others = found.data?.results;
  return useMemo(() => {
    const own = who.user?.memberships.map((membership) => membership.account_id) ?? [];
    return [...new Set([...own, ...(who.account_id ? [who.account_id] : []), ...(others ?? []).map((account) => account.id)])];
  }, [who, others]);
}
