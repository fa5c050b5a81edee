// Numbers and moments as people read them. Pure; the clock is an argument. The API writes moments as
// `2026-11-22 10:20:30 UTC`, sizes in bytes or MiB.

import type { Language } from "./say";

/** The API's moment, or one of ISO 8601. */
export function moment(text: string): Date {
  const api = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC$/.exec(text);
  return new Date(api ? `${api[1]}T${api[2]}Z` : text);
}

export function date(language: Language, at: Date): string {
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(at);
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
  ["second", 1],
];

export function ago(language: Language, at: Date, now: Date): string {
  const seconds = Math.round((at.getTime() - now.getTime()) / 1000);
  const format = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  if (Math.abs(seconds) < 3) return format.format(0, "second");
  const [unit, length] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? ["second", 1];
  return format.format(Math.trunc(seconds / length), unit);
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function bytes(language: Language, count: number): string {
  let [value, step] = [count, 0];
  while (value >= 1024 && step < SIZES.length - 1) {
    value /= 1024;
    step += 1;
  }
  const digits = value >= 100 || Number.isInteger(value) ? 0 : 1;
  return `${new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value)} ${SIZES[step]}`;
}

export function mebibytes(language: Language, count: number): string {
  return bytes(language, count * 1024 * 1024);
}

export function percent(language: Language, part: number): string {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 0 }).format(part);
}

/** Seconds between two moments, as short as it says enough. */
export function duration(language: Language, seconds: number): string {
  const unit = (value: number, name: string) =>
    new Intl.NumberFormat(language, {
      style: "unit",
      unit: name,
      unitDisplay: "short",
      maximumFractionDigits: value < 10 && name === "second" ? 1 : 0,
    }).format(value);
  if (seconds < 60) return unit(seconds, "second");
  if (seconds < 3600) return unit(Math.round(seconds / 60), "minute");
  if (seconds < 172_800) return unit(Math.round(seconds / 3600), "hour");
  return unit(Math.round(seconds / 86_400), "day");
}
