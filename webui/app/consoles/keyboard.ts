// Text as presses of keys: for a screen that knows keys only. Pure but for the pauses. Rule: keys are named by their places
// (KeyboardEvent.code), because what a place means is the guest's own layout; a character that has none is told, never left out.

export const LAYOUTS = ["us", "jp"] as const;
export type Layout = (typeof LAYOUTS)[number];

/** A place on the keyboard, and whether Shift is held. */
export interface Press {
  /** What it stands for where only that can be told (X11; that of ASCII is its code). */
  keysym: number;
  code: string;
  shift: boolean;
}

/** More is a file's affair: at this pace it is typed for most of a minute. */
export const TEXT_MAX = 1000;

/** Longer than this is shown before it is typed. */
const ASKED_ABOVE = 100;

/** QEMU takes a key event every ten milliseconds, of which a character has up to four, and forgets what does not fit its queue. */
const PRESS_MS = 40;

const SHIFT = { keysym: 0xffe1, code: "ShiftLeft" };

type Row = readonly [code: string, plain: string, shifted: string];

/** What both layouts have in the same places. */
const COMMON: Row[] = [
  ...[..."abcdefghijklmnopqrstuvwxyz"].map((letter): Row => [`Key${letter.toUpperCase()}`, letter, letter.toUpperCase()]),
  ["Comma", ",", "<"], ["Period", ".", ">"], ["Slash", "/", "?"], ["Space", " ", ""],
  ["Digit1", "1", "!"], ["Digit3", "3", "#"], ["Digit4", "4", "$"], ["Digit5", "5", "%"],
];

const ROWS: Record<Layout, Row[]> = {
  us: [
    ["Digit2", "2", "@"], ["Digit6", "6", "^"], ["Digit7", "7", "&"], ["Digit8", "8", "*"], ["Digit9", "9", "("], ["Digit0", "0", ")"],
    ["Minus", "-", "_"], ["Equal", "=", "+"], ["BracketLeft", "[", "{"], ["BracketRight", "]", "}"], ["Backslash", "\\", "|"],
    ["Semicolon", ";", ":"], ["Quote", "'", '"'], ["Backquote", "`", "~"],
  ],
  // JIS X 6002 with the two keys of the 106 and 109 keys: the backslash is beside Shift, the bar on the yen.
  jp: [
    ["Digit2", "2", '"'], ["Digit6", "6", "&"], ["Digit7", "7", "'"], ["Digit8", "8", "("], ["Digit9", "9", ")"], ["Digit0", "0", ""],
    ["Minus", "-", "="], ["Equal", "^", "~"], ["IntlYen", "¥", "|"], ["BracketLeft", "@", "`"], ["BracketRight", "[", "{"],
    ["Semicolon", ";", "+"], ["Quote", ":", "*"], ["Backslash", "]", "}"], ["IntlRo", "\\", "_"],
  ],
};

const ENTER: Press = { keysym: 0xff0d, code: "Enter", shift: false };
const TAB: Press = { keysym: 0xff09, code: "Tab", shift: false };

function table(layout: Layout): Map<string, Press> {
  const keys = new Map<string, Press>([["\n", ENTER], ["\t", TAB]]);
  for (const [code, plain, shifted] of [...COMMON, ...ROWS[layout]]) {
    if (plain) keys.set(plain, { keysym: plain.charCodeAt(0), code, shift: false });
    if (shifted) keys.set(shifted, { keysym: shifted.charCodeAt(0), code, shift: true });
  }
  return keys;
}

export interface Presses {
  keys: Press[];
  /** Characters that no key of the layout makes, each once. */
  refused: string[];
  enters: number;
}

export function presses(text: string, layout: Layout): Presses {
  const known = table(layout);
  const found: Presses = { keys: [], refused: [], enters: 0 };
  for (const character of text.replace(/\r\n?/g, "\n")) {
    const key = known.get(character);
    if (!key) {
      if (!found.refused.includes(character)) found.refused.push(character);
      continue;
    }
    found.keys.push(key);
    if (key === ENTER) found.enters += 1;
  }
  return found;
}

/** Whether somebody should see it first: long, of several lines, or not to be typed as it stands. */
export function needsAsking(text: string, layout: Layout): boolean {
  const { keys, refused, enters } = presses(text, layout);
  return keys.length === 0 || keys.length > ASKED_ABOVE || refused.length > 0 || enters > 0;
}

export type SendKey = (keysym: number, code: string, down: boolean) => void;

/** Presses one after the other at a pace that a guest can follow. Answers how many were pressed: fewer when it was stopped. */
export async function type(keys: Press[], send: SendKey, told: (done: number) => void, stop: AbortSignal): Promise<number> {
  for (const [done, { keysym, code, shift }] of keys.entries()) {
    if (stop.aborted) return done;
    if (shift) send(SHIFT.keysym, SHIFT.code, true);
    send(keysym, code, true);
    send(keysym, code, false);
    if (shift) send(SHIFT.keysym, SHIFT.code, false);
    told(done + 1);
    await new Promise((resolve) => setTimeout(resolve, PRESS_MS));
  }
  return keys.length;
}
