// The language of the page: chosen, remembered, switched at once. Japanese unless the browser asks for another language first.

import { type ReactNode, createContext, useContext, useEffect, useMemo, useState } from "react";
import { setFrame } from "../api/client";
import * as format from "./format";
import { type Key, type Language, type Values, say, word } from "./say";

const KEPT = "arame.language";

interface Words {
  language: Language;
  setLanguage: (language: Language) => void;
}

const Context = createContext<Words>({ language: "ja", setLanguage: () => {} });

function first(): Language {
  const kept = localStorage.getItem(KEPT);
  if (kept === "ja" || kept === "en") return kept;
  return navigator.language.startsWith("en") ? "en" : "ja";
}

export function WordsProvider({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState(first);
  useEffect(() => {
    localStorage.setItem(KEPT, language);
    document.documentElement.lang = language;
  }, [language]);
  setFrame({ language });
  const words = useMemo(() => ({ language, setLanguage }), [language]);
  return <Context value={words}>{children}</Context>;
}

/** Everything a page needs to say something. */
export function useWords() {
  const { language, setLanguage } = useContext(Context);
  return useMemo(
    () => ({
      language,
      setLanguage,
      t: (key: Key, values?: Values) => say(language, key, values),
      word: (group: string, code: string) => word(language, group, code),
      bytes: (count: number) => format.bytes(language, count),
      mebibytes: (count: number) => format.mebibytes(language, count),
      percent: (part: number) => format.percent(language, part),
      number: (value: number) => new Intl.NumberFormat(language, { maximumFractionDigits: 2 }).format(value),
      date: (text: string) => format.date(language, format.moment(text)),
      ago: (text: string, now: Date) => format.ago(language, format.moment(text), now),
      duration: (seconds: number) => format.duration(language, seconds),
    }),
    [language, setLanguage],
  );
}
