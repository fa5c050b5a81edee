// What is around every page: where one can go, who one is, for which account, in which language, and whether it is live.

import { type ReactNode, useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { type Right, useSession } from "./session";
import { type Theme, setTheme, theme } from "./theme";
import type { Key } from "./words/say";
import { useWords } from "./words/use";

interface Place {
  path: string;
  name: Key;
  needs?: Right;
}

const GROUPS: { name: Key; places: Place[] }[] = [
  {
    name: "nav.things",
    places: [
      { path: "/", name: "dashboard" },
      { path: "/instances", name: "instances" },
      { path: "/images", name: "images" },
      { path: "/volumes", name: "volumes" },
      { path: "/backups", name: "backups" },
      { path: "/networks", name: "networks" },
      { path: "/security-groups", name: "security_groups" },
      { path: "/keys", name: "keys" },
    ],
  },
  {
    name: "nav.records",
    places: [
      { path: "/usage", name: "usage" },
      { path: "/jobs", name: "jobs" },
      { path: "/audit-log", name: "audit_log" },
      { path: "/access", name: "access" },
    ],
  },
  {
    name: "nav.center",
    places: [
      { path: "/hosts", name: "hosts", needs: "inspect" },
      { path: "/storage", name: "storage", needs: "inspect" },
      { path: "/naming", name: "naming", needs: "inspect" },
      { path: "/audit", name: "audit", needs: "inspect" },
      { path: "/accounts", name: "accounts", needs: "inspect" },
    ],
  },
];

function isAt(place: string, path: string): boolean {
  return path === "/" ? place === "/" : place === path || place.startsWith(`${path}/`);
}

export function Shell({ children }: { children: ReactNode }) {
  const { t } = useWords();
  const { can } = useSession();
  const [place] = useLocation();
  const [open, setOpen] = useState(false);
  const at = GROUPS.flatMap((group) => group.places).find((one) => isAt(place, one.path));
  useEffect(() => {
    setOpen(false);
    document.title = at ? `${t(at.name)} – Arame` : "Arame";
  }, [place, at, t]);
  return (
    <div className="shell">
      <a className="skip" href="#main">
        {t("skip")}
      </a>
      <header className="top">
        <button
          type="button"
          className="plain menu"
          aria-expanded={open}
          aria-controls="places"
          aria-label={t("menu")}
          onClick={() => setOpen(!open)}
        >
          ☰
        </button>
        <Link href="/" className="brand">
          <img src="/icon.svg" alt="" width="24" height="24" /> <span>Arame</span>
        </Link>
        <Connected />
        <Chooser />
      </header>
      <Places open={open} place={place} />
      <main id="main" tabIndex={-1} data-place={place}>
        {!can("change") && <p className="looks-only">{t("looks_only")}</p>}
        {children}
      </main>
    </div>
  );
}

function Places({ open, place }: { open: boolean; place: string }) {
  const { t } = useWords();
  const { can } = useSession();
  return (
    <nav id="places" className={open ? "places open" : "places"} aria-label={t("menu")}>
      {GROUPS.map((group) => {
        const places = group.places.filter((one) => !one.needs || can(one.needs));
        return places.length === 0 ? null : (
          <section key={group.name}>
            <h2>{t(group.name)}</h2>
            <ul>
              {places.map((one) => (
                <li key={one.path}>
                  <Link href={one.path} aria-current={isAt(place, one.path) ? "page" : undefined}>
                    {t(one.name)}
                  </Link>
                </li>
              ))}
            </ul>
          </section>
        );
      })}
      <Link href="/guide" className="guide-link">
        {t("guide")}
      </Link>
    </nav>
  );
}

function Connected() {
  const { t } = useWords();
  const { connection } = useSession();
  return (
    <span className={`connection ${connection}`} role="status" title={t(`connection.${connection}_why`)}>
      <span aria-hidden="true">{connection === "live" ? "●" : "◌"}</span> <span>{t(`connection.${connection}`)}</span>
    </span>
  );
}

function Chooser() {
  const { t, language, setLanguage } = useWords();
  const { who, account, accounts, setAccount, can, leave } = useSession();
  const [chosen, setChosen] = useState<Theme>(theme);
  return (
    <div className="chooser">
      {(accounts.length > 1 || can("inspect")) && (
        <label>
          <span className="hidden">{t("account")}</span>
          <select value={account} onChange={(event) => setAccount(event.target.value)}>
            {can("inspect") && <option value="">{t("account.all")}</option>}
            {accounts.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
      )}
      <details className="me">
        <summary>
          <span className="hidden">{t("me")}</span>
          <span className="me-name">{who.user?.display_name || who.user?.name || who.token}</span>
        </summary>
        <div className="me-menu">
          <p className="quiet">{t("me.as", { role: t(`role.${who.role}`), account: account || t("account.all") })}</p>
          <label>
            {t("language")}
            <select value={language} onChange={(event) => setLanguage(event.target.value === "en" ? "en" : "ja")}>
              <option value="ja">日本語</option>
              <option value="en">English</option>
            </select>
          </label>
          <label>
            {t("theme")}
            <select
              value={chosen}
              onChange={(event) => {
                const next = event.target.value as Theme;
                setChosen(next);
                setTheme(next);
              }}
            >
              <option value="auto">{t("theme.auto")}</option>
              <option value="light">{t("theme.light")}</option>
              <option value="dark">{t("theme.dark")}</option>
            </select>
          </label>
          <button type="button" onClick={leave}>
            {t("sign_out")}
          </button>
        </div>
      </details>
    </div>
  );
}
