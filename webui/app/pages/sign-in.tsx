// The door. A name with its password, or a token; neither is kept by this page.

import { useState } from "react";
import { signIn } from "../api/client";
import { Field } from "../parts/basics";
import { Failed } from "../parts/states";
import { useWords } from "../words/use";

export function SignIn({ entered, expired }: { entered: () => void; expired: boolean }) {
  const { t, language, setLanguage } = useWords();
  const [way, setWay] = useState<"name" | "token">("name");
  const [error, setError] = useState<Error | null>(null);
  const [busy, setBusy] = useState(false);
  const submit = (form: FormData) => {
    const word = (name: string) => String(form.get(name) ?? "").trim();
    const body = way === "token" ? { token: word("token") } : { name: word("name"), password: String(form.get("password")) };
    setBusy(true);
    setError(null);
    signIn(body)
      .then(entered, setError)
      .finally(() => setBusy(false));
  };
  return (
    <main className="door">
      <h1>
        <img src="/icon.svg" alt="" width="40" height="40" /> Arame
      </h1>
      <p className="quiet">{t("door.what")}</p>
      {expired && !error && <p className="note">{t("door.expired")}</p>}
      <div className="ways">
        <button type="button" aria-pressed={way === "name"} onClick={() => setWay("name")}>
          {t("door.by_name")}
        </button>
        <button type="button" aria-pressed={way === "token"} onClick={() => setWay("token")}>
          {t("door.by_token")}
        </button>
      </div>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          submit(new FormData(event.currentTarget));
        }}
      >
        {way === "name" ? (
          <>
            <Field label={t("user_name")}>
              {(id) => <input id={id} name="name" autoComplete="username" required autoFocus />}
            </Field>
            <Field label={t("password")}>
              {(id) => <input id={id} name="password" type="password" autoComplete="current-password" required />}
            </Field>
            <p className="hint">{t("door.first")}</p>
          </>
        ) : (
          <Field label={t("token")} hint={t("door.token_hint")}>
            {(id, hint) => (
              <input id={id} name="token" type="password" autoComplete="off" aria-describedby={hint} required autoFocus />
            )}
          </Field>
        )}
        {error && <Failed error={error} />}
        <button type="submit" className="primary" disabled={busy}>
          {busy ? t("door.busy") : t("door.enter")}
        </button>
      </form>
      <button type="button" className="plain" lang={language === "ja" ? "en" : "ja"} onClick={() => setLanguage(language === "ja" ? "en" : "ja")}>
        {language === "ja" ? "English" : "日本語"}
      </button>
    </main>
  );
}
