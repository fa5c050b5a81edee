// Text as keys of a guest's keyboard.
import { describe, expect, it } from "vitest";
import { LAYOUTS, type Press, TEXT_MAX, needsAsking, presses, type } from "../consoles/keyboard";

const ASCII = Array.from({ length: 95 }, (_, n) => String.fromCharCode(32 + n)).join("");

/** As `KeyQ`, with Shift as `+KeyQ`. */
const places = (keys: Press[]) => keys.map((key) => `${key.shift ? "+" : ""}${key.code}`);

describe("a text for a screen", () => {
  it("has a key of its own for every character of ASCII, in each layout", () => {
    for (const layout of LAYOUTS) {
      const { keys, refused } = presses(ASCII, layout);
      expect([layout, refused]).toEqual([layout, []]);
      expect(new Set(places(keys)).size).toBe(ASCII.length);
      expect(keys.map((key) => key.keysym)).toEqual([...ASCII].map((one) => one.charCodeAt(0)));
    }
  });

  it("presses other places for the symbols of a Japanese keyboard", () => {
    const text = `@"&'()=^~\\|[]{}:*+_\``;
    expect(places(presses(text, "jp").keys)).toEqual([
      "BracketLeft", "+Digit2", "+Digit6", "+Digit7", "+Digit8", "+Digit9", "+Minus", "Equal", "+Equal", "IntlRo", "+IntlYen",
      "BracketRight", "Backslash", "+BracketRight", "+Backslash", "Quote", "+Quote", "+Semicolon", "+IntlRo", "+BracketLeft",
    ]);
    expect(places(presses("@\\|", "us").keys)).toEqual(["+Digit2", "Backslash", "+Backslash"]);
    expect(places(presses("Ab 1", "jp").keys)).toEqual(places(presses("Ab 1", "us").keys));
  });

  it("tells what no key makes, each once, and counts its lines", () => {
    const told = presses("echo 荒布\r\n荒\n", "jp");
    expect(told.refused).toEqual(["荒", "布"]);
    expect(told.enters).toBe(2);
    expect(presses("¥", "jp").refused).toEqual([]);
    expect(presses("¥", "us").refused).toEqual(["¥"]);
  });

  it("is shown first when it is long, of several lines, or cannot be typed", () => {
    expect(needsAsking("root", "us")).toBe(false);
    for (const text of ["", "a\nb", "x".repeat(101), "荒"]) expect([text, needsAsking(text, "us")]).toEqual([text, true]);
    expect(TEXT_MAX).toBeGreaterThan(101);
  });

  it("is pressed key by key with Shift around what needs it, and stops when told", async () => {
    const heard: string[] = [];
    const send = (_: number, code: string, down: boolean) => heard.push(`${code}${down ? "↓" : "↑"}`);
    const stop = new AbortController();
    const { keys } = presses("aB", "us");
    expect(await type(keys, send, () => {}, stop.signal)).toBe(2);
    expect(heard).toEqual(["KeyA↓", "KeyA↑", "ShiftLeft↓", "KeyB↓", "KeyB↑", "ShiftLeft↑"]);
    heard.length = 0;
    expect(await type(presses("abc", "us").keys, send, (done) => done === 1 && stop.abort(), stop.signal)).toBe(1);
    expect(heard).toEqual(["KeyA↓", "KeyA↑"]);
  });
});
