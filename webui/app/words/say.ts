// From a key and values to a sentence. Pure: the language is an argument. A sentence with `|` has one form per plural
// category of its language (`one|other`); Japanese has one.

import { en } from "./en";
import { ja } from "./ja";

export type Key = keyof typeof en;
export type Language = "ja" | "en";
export type Values = Record<string, string | number>;

export const CATALOGUES: Record<Language, Record<Key, string>> = { ja, en };

export function isKey(text: string): text is Key {
  return Object.hasOwn(en, text);
}

export function say(language: Language, key: Key, values: Values = {}): string {
  const entry = CATALOGUES[language][key];
  const forms = entry.split("|");
  let form = entry;
  if (forms.length > 1) {
    const one = new Intl.PluralRules(language).select(Number(values["n"] ?? 0)) === "one";
    form = (one ? forms[0] : forms[1]) ?? entry;
  }
  const number = (value: string | number) =>
    typeof value === "number" ? new Intl.NumberFormat(language).format(value) : value;
  return form.replace(/\{(\w+)\}/g, (whole, name: string) => {
    const value = values[name];
    return value === undefined ? whole : number(value);
  });
}

/** Words for a code of the API, or the code itself: a newer API may know more than these pages. */
export function word(language: Language, group: string, code: string): string {
  const key = `${group}.${code}`;
  return isKey(key) ? say(language, key) : code;
}
