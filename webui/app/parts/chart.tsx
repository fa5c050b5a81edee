// A chart of lines or bars over time (uPlot). Comes when wanted, with the pages that draw. Rule: what is drawn stands in a table of
// the page too, for whoever sees no chart; colours follow the theme while the page is open; a gap in the data is a gap.

import { useEffect, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Line {
  label: string;
  values: (number | null)[];
  /** A colour of the style sheet, such as `--accent`. */
  color: string;
  bars?: boolean;
  fill?: boolean;
}

interface ChartProps {
  /** What it shows, in one sentence. */
  label: string;
  /** Seconds since 1970, ascending. */
  at: number[];
  lines: Line[];
  /** A value as it is told, at the axis and under the cursor. */
  told: (value: number) => string;
  toldAt: (seconds: number) => string;
  /** What the axis of time is called beside the values under the cursor. */
  time: string;
  /** Above this is never drawn, such as 100 %; else as high as the highest. */
  most?: number;
  /** Steps of the values' axis: of bytes they are powers of two. */
  steps?: number[];
  /** Bars of days: half a day more at either end, and whole days between marks. */
  days?: boolean;
}

const HEIGHT = 220;
const AXIS_WIDTH = 82;
const DAY = 86_400;
/** Seconds that are shown at least: two readings of one minute are no long line. */
const SPAN_MIN = 600;

/** Steps of an axis of bytes: 1, 2, 4 … of each unit. */
export const BYTE_STEPS = Array.from({ length: 46 }, (_, power) => 2 ** power);

/** Goes up whenever the colours of the page change. */
function useColours(): number {
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const again = () => setTurn((turn) => turn + 1);
    const chosen = new MutationObserver(again);
    chosen.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    const system = matchMedia("(prefers-color-scheme: dark)");
    system.addEventListener("change", again);
    return () => {
      chosen.disconnect();
      system.removeEventListener("change", again);
    };
  }, []);
  return turn;
}

function options(props: ChartProps, width: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const color = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  const bars = uPlot.paths.bars?.({ size: [0.6, 48] });
  const toldAt = (_: uPlot, ticks: number[]) => ticks.map(props.toldAt);
  return {
    width,
    height: HEIGHT,
    cursor: { y: false },
    scales: {
      x: { time: false, range: (_, from, to) => (props.days ? [from - DAY / 2, to + DAY / 2] : [Math.min(from, to - SPAN_MIN), to]) },
      // From zero, so that a small change looks small; a line of zeros alone still has an axis.
      y: { range: (_, __, highest) => [0, props.most ?? Math.max(highest * 1.1, 1)] },
    },
    axes: [
      { ...axis, values: toldAt, ...(props.days ? { incrs: [DAY, 7 * DAY, 30 * DAY] } : { incrs: [60, 300, 600, 900, 1200, 1800, 3600], space: 70 }) },
      { ...axis, size: AXIS_WIDTH, values: (_, ticks) => ticks.map(props.told), ...(props.steps ? { incrs: props.steps } : {}) },
    ],
    series: [
      { label: props.time, value: (_, at) => (at == null ? "–" : props.toldAt(at)) },
      ...props.lines.map((line): uPlot.Series => ({
        label: line.label,
        stroke: color(line.color),
        width: 2,
        value: (_, value) => (value == null ? "–" : props.told(value)),
        ...(line.bars && bars ? { paths: bars, fill: color(line.color) } : {}),
        ...(line.fill ? { fill: `color-mix(in srgb, ${color(line.color)} 18%, transparent)` } : {}),
      })),
    ],
  };
}

export function Chart(props: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const drawn = useRef<uPlot | null>(null);
  const colours = useColours();
  const { at, lines } = props;
  const data: uPlot.AlignedData = [at, ...lines.map((line) => line.values)];
  // Drawn anew when its words, its colours or its height change; new numbers go into what is there, under the cursor that is there.
  const form = JSON.stringify([props.label, props.time, props.most, lines.map((line) => [line.label, line.color])]);
  useEffect(() => {
    const here = place.current;
    if (!here) return;
    const plot = new uPlot(options(props, here.clientWidth), data, here);
    drawn.current = plot;
    const size = new ResizeObserver(([entry]) => entry && plot.setSize({ width: entry.contentRect.width, height: HEIGHT }));
    size.observe(here);
    return () => {
      drawn.current = null;
      size.disconnect();
      plot.destroy();
    };
  }, [form, colours]);
  const numbers = JSON.stringify(data);
  useEffect(() => drawn.current?.setData(data), [numbers]);
  return <div ref={place} className="chart" role="img" aria-label={props.label} />;
}
