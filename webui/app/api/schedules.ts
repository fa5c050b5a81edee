// The API's words for schedules of volumes (`/volumes/{id}/schedules`): the document's, with the few words that a field may be.

import type { Schemas } from "./client";

export type Every = "hour" | "day" | "week";
export const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"] as const;
export type Weekday = (typeof WEEKDAYS)[number];
export const KEEPS = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly"] as const;
export type Keep = (typeof KEEPS)[number];

interface Choices {
  makes: "snapshot" | "backup";
  every: Every;
  weekday?: Weekday | null;
}

export type VolumeSchedule = Omit<Schemas["VolumeSchedule"], keyof Choices> & Choices;
export type SchedulePlan = Schemas["SchedulePlan"];
