// A schedule as a form has it, as it is sent, and as it is said. Pure.

import { type Every, KEEPS, type Keep, type VolumeSchedule, WEEKDAYS, type Weekday } from "../api/schedules";
import type { Language } from "../words/say";

export interface Wish {
  name: string;
  makes: "snapshot" | "backup";
  every: Every;
  /** `03:30`; of an hourly one only the minutes count. */
  time: string;
  weekday: Weekday;
  zone: string;
  keeps: Record<Keep, number>;
}

/** Every night, a week of days and a month of weeks: what most mean. */
export function fresh(zone: string): Wish {
  return {
    name: "",
    makes: "backup",
    every: "day",
    time: "03:00",
    weekday: "sunday",
    zone,
    keeps: { keep_last: 0, keep_hourly: 0, keep_daily: 7, keep_weekly: 4, keep_monthly: 0 },
  };
}

const two = (value: number) => String(value).padStart(2, "0");

export function time(one: Pick<VolumeSchedule, "hour" | "minute">): string {
  return `${two(one.hour ?? 0)}:${two(one.minute)}`;
}

export function wishOf(one: VolumeSchedule): Wish {
  const keeps = Object.fromEntries(KEEPS.map((keep) => [keep, one[keep]])) as Record<Keep, number>;
  return { name: one.display_name ?? "", makes: one.makes, every: one.every, time: time(one), weekday: one.weekday ?? "sunday", zone: one.time_zone, keeps };
}

/** What is sent: an hourly one has no hour, only a weekly one a weekday. What it makes is said once, when it is made. */
export function bodyOf(wish: Wish, isNew: boolean): Record<string, unknown> {
  const [hour = 0, minute = 0] = wish.time.split(":").map(Number);
  return {
    display_name: wish.name,
    ...(isNew ? { makes: wish.makes } : {}),
    every: wish.every,
    minute,
    ...(wish.every === "hour" ? {} : { hour }),
    ...(wish.every === "week" ? { weekday: wish.weekday } : {}),
    time_zone: wish.zone,
    ...wish.keeps,
  };
}

/** A weekday in the reader's language: 22 November 2026 was a Sunday. */
export function weekdayIn(language: Language, weekday: Weekday): string {
  const day = new Date(Date.UTC(2026, 10, 22 + WEEKDAYS.indexOf(weekday)));
  return new Intl.DateTimeFormat(language, { weekday: "long", timeZone: "UTC" }).format(day);
}
