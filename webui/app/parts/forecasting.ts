// How long a move would take, in words, and of several the sum. Rule: what is not known is told as not known. Pure, but for asking.

import { send } from "../api/client";
import type { MoveForecast, MovePlan } from "../api/types";
import type { Key, Values } from "../words/say";

type Say = (key: Key, values?: Values) => string;

/** A measure takes a second or two: while it goes on it is asked for again. */
const ASKED_MAX = 5;
const ASKED_EVERY_MS = 1_000;

/** What a move would be: nothing is moved. */
export async function askPlan(id: string, to: string, isClosed: () => boolean = () => false): Promise<MovePlan> {
  for (let asked = 1; ; asked += 1) {
    const plan = await send<MovePlan>("PUT", `instances/${id}/move`, { host_node_id: to }, { plan: true });
    if (plan.forecast?.why?.code !== "measuring" || asked === ASKED_MAX || isClosed()) return plan;
    await new Promise((resolve) => window.setTimeout(resolve, ASKED_EVERY_MS));
  }
}

export function timeWords(t: Say, forecast: MoveForecast): string {
  const { seconds, plus_minus_seconds: span } = forecast;
  if (seconds == null) return t(forecast.converges == null ? "forecast.unknown" : "forecast.never");
  return span == null ? t("forecast.least", { seconds }) : t("forecast.time", { seconds, span });
}

export interface Sum {
  forecast: MoveForecast;
  /** Moves of which no time is known: not in the sum. */
  without: number;
}

/** Moves go one after the other, and what one is wrong by the next likely is too. */
export function sum(forecasts: MoveForecast[]): Sum {
  const known = forecasts.filter((one) => one.seconds != null);
  const bounded = known.every((one) => one.plus_minus_seconds != null);
  const of = (value: (one: MoveForecast) => number | null | undefined) => known.reduce((all, one) => all + (value(one) ?? 0), 0);
  return {
    forecast: { seconds: of((one) => one.seconds), plus_minus_seconds: bounded ? of((one) => one.plus_minus_seconds) : null } as MoveForecast,
    without: forecasts.length - known.length,
  };
}
