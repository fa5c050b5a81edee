// The catalogues, and what makes sentences of them.
import { describe, expect, it } from "vitest";
import { verbInWords } from "../pages/audit-log";
import { CATALOGUES, say, word } from "../words/say";

const KANA_OR_KANJI = /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u;

/** Words that are the same in every language, and why: names of standards. */
const SAME = ["id", "service.dhcp", "service.dns", "waiting.end", "schedule.and", "verb.did"];

function withoutKana(texts: Record<string, string>): string[] {
  return Object.entries(texts).filter(([key, text]) => !KANA_OR_KANJI.test(text) && !SAME.includes(key)).map(([key]) => key);
}

describe("the catalogues", () => {
  it("have the same keys, and no empty sentence", () => {
    expect(Object.keys(CATALOGUES.ja).sort()).toEqual(Object.keys(CATALOGUES.en).sort());
    for (const texts of Object.values(CATALOGUES)) for (const text of Object.values(texts)) expect(text.trim()).not.toBe("");
  });

  it("hold kana or kanji in every Japanese sentence but those of the list", () => {
    expect(withoutKana({ made_up: "Launch" })).toEqual(["made_up"]);
    expect(withoutKana(CATALOGUES.ja)).toEqual([]);
  });

  it("name the same values in both languages", () => {
    const values = (text: string) => [...new Set(text.match(/\{\w+\}/g) ?? [])].filter((name) => name !== "{n}").sort();
    for (const [key, text] of Object.entries(CATALOGUES.en)) {
      expect([key, values(CATALOGUES.ja[key as keyof typeof CATALOGUES.ja])]).toEqual([key, values(text)]);
    }
  });

  it("hold no Japanese in English, and every sentence is used", () => {
    for (const [key, text] of Object.entries(CATALOGUES.en)) expect([key, KANA_OR_KANJI.test(text)]).toEqual([key, false]);
    const sources = everySource().join("\n");
    const groups = ["state", "rule", "quota", "used", "role", "connection", "console", "drain", "fate", "service", "event", "job", "restart", "weight", "run", "every", "makes", "layout", "keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly", "judged", "verb_of", "verb_does", "mode", "path_part"];
    const unused = Object.keys(CATALOGUES.en).filter((key) => !sources.includes(`"${key}"`) && !groups.includes(key.split(".")[0] ?? ""));
    expect(unused).toEqual([]);
  });
});

describe("what was done", () => {
  it("has words for every verb that the program writes to its log", () => {
    // In the sources a verb is a text of two parts or more, where the audit log or the answer once given is written.
    const written = new Set<string>();
    for (const text of Object.values(import.meta.glob<string>("../../../dcmgr/src/app/**/*.rs", { query: "?raw", import: "default", eager: true }))) {
      for (const [, call] of text.matchAll(/(?:audit|once::keep|keep)\(((?:[^;]){0,160});/g)) {
        for (const [, verb] of (call ?? "").matchAll(/"([a-z_]+(?:\.[a-z_]+)+)"/g)) written.add(verb ?? "");
      }
      for (const [, verbs] of text.matchAll(/let verb = ([^;]+);/g)) {
        for (const [, verb] of (verbs ?? "").matchAll(/"([a-z_.]+)"/g)) written.add(verb ?? "");
      }
    }
    expect(written.size).toBeGreaterThan(70);
    expect(written).toContain("volume.detach.force");
    for (const verb of written) for (const language of ["ja", "en"] as const) expect(verbInWords(language, verb)).not.toBe(verb);
    expect(verbInWords("ja", "volume.create")).toBe("ボリューム: 作成");
    expect(verbInWords("ja", "volume.of_a_newer_api")).toBe("volume.of_a_newer_api");
  });
});

/** Every file of the pages as text, but for the catalogues and the tests. */
function everySource(): string[] {
  const files = import.meta.glob<string>("../**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true });
  const own = Object.entries(files).filter(([name]) => !/\/(words\/(en|ja)|tests)|schema\.d/.test(name) && !name.startsWith("./"));
  return own.map(([, text]) => text);
}

describe("a sentence", () => {
  it("has the form of its number in English, and one form in Japanese", () => {
    expect(say("en", "poweron.ask", { n: 1 })).toBe("Start 1 machine?");
    expect(say("en", "poweron.ask", { n: 1200 })).toBe("Start 1,200 machines?");
    expect(say("ja", "poweron.ask", { n: 1200 })).toBe("1,200 台を起動しますか？");
  });

  it("keeps what a user wrote as it is", () => {
    expect(say("en", "delete.name", { name: "<img onerror=x>" })).toBe("Delete <img onerror=x>");
  });

  it("of a code that is not known is the code", () => {
    expect(word("ja", "state", "running")).toBe("稼働中");
    expect(word("ja", "state", "of_a_newer_api")).toBe("of_a_newer_api");
  });
});
