// The API's words for schedules of volumes (`/volumes/{id}/schedules`).

import type { Failure } from "./types";

export type Every = "hour" | "day" | "week";
export const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"] as const;
export type Weekday = (typeof WEEKDAYS)[number];
export const KEEPS = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly", "keep_monthly"] as const;
export type Keep = (typeof KEEPS)[number];

export interface ScheduleRun {
  scheduled_for: string;
  begun_at?: string | null;
  ended_at?: string | null;
  /** `making`, `whole`, `failed`, `refused`, `skipped` or `ended`. */
  result: string;
  /** Moments that nobody came to; this run stands for them. */
  missed: number;
  made?: string | null;
  failure?: Failure | null;
}

export interface VolumeSchedule extends Record<Keep, number> {
  id: string;
  volume_id: string;
  display_name?: string | null;
  makes: "snapshot" | "backup";
  backup_storage_id?: string | null;
  every: Every;
  minute: number;
  hour?: number | null;
  weekday?: Weekday | null;
  time_zone: string;
  enabled: boolean;
  next_run?: string | null;
  kept: number;
  failures_in_a_row: number;
  last_run?: ScheduleRun | null;
}

export interface SchedulePlan {
  next_runs: string[];
  keeps: { id: string; created_at: string; because: string }[];
  deletes: string[];
  deferred: string[];
  refusals?: { reason: string; message: string; next_step: string }[];
}
