// The guide: both languages have the same chapters and pictures, and every picture there is is shown.
import { describe, expect, it } from "vitest";
import { pictureOf } from "../pages/guide-picture";

const TEXTS = import.meta.glob<string>("../pages/guide-{ja,en}.tsx", { query: "?raw", import: "default", eager: true });
const FILES = Object.keys(import.meta.glob("../pages/guide/*.webp"));

function found(pattern: RegExp): string[][] {
  const texts = Object.values(TEXTS);
  return texts.map((text) => [...text.matchAll(pattern)].map((match) => match[1] ?? ""));
}

describe("the guide", () => {
  it("has as many chapters in either language", () => {
    const [one, other] = found(/<h2>(\d+)\./g);
    expect(one?.length).toBeGreaterThan(5);
    expect(one).toEqual(other);
  });

  it("shows the same pictures in either language, and each is there", () => {
    const [one, other] = found(/<Picture name="(\w+)"/g);
    expect(one?.length).toBeGreaterThan(4);
    expect(one).toEqual(other);
    for (const name of one ?? []) for (const language of ["ja", "en"] as const) expect([name, pictureOf(name, language)]).toEqual([name, expect.any(String)]);
    expect(FILES.length).toBe((one?.length ?? 0) * 2);
    expect(pictureOf("of-nothing", "ja")).toBeUndefined();
  });
});
