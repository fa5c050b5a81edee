// A network drawn: the segment as a line, gateway and services above it, machines below, each with its address. Pure of data:
// where things stand is decided by `layout`, which a test reads.

import { Link } from "wouter";
import { useWords } from "../words/use";

export interface Node {
  id: string;
  label: string;
  address: string;
  kind: "gateway" | "service" | "instance";
  state?: string;
}

export interface Placed extends Node {
  x: number;
  y: number;
}

export const BOX = { width: 168, height: 58, gap: 20 };

export interface Drawing {
  width: number;
  height: number;
  line: number;
  nodes: Placed[];
}

/** Those that serve above the line, machines below, as many beside each other as there is room for. */
export function layout(nodes: Node[], width: number): Drawing {
  const step = BOX.width + BOX.gap;
  const columns = Math.max(1, Math.floor((width - BOX.gap) / step));
  const row = (list: Node[], top: number) =>
    list.map((node, at) => ({
      ...node,
      x: BOX.gap + (at % columns) * step,
      y: top + Math.floor(at / columns) * (BOX.height + BOX.gap),
    }));
  const above = nodes.filter((node) => node.kind !== "instance");
  const below = nodes.filter((node) => node.kind === "instance");
  const rows = (count: number) => Math.ceil(count / columns) * (BOX.height + BOX.gap);
  const line = BOX.gap + rows(above.length) + BOX.gap;
  const placed = [...row(above, BOX.gap), ...row(below, line + BOX.gap * 2)];
  return { width, height: line + BOX.gap * 2 + Math.max(rows(below.length), BOX.gap), line, nodes: placed };
}

export function Topology({ name, range, nodes }: { name: string; range: string; nodes: Node[] }) {
  const { t, word } = useWords();
  const { width, height, line, nodes: placed } = layout(nodes, 960);
  return (
    <div className="topology">
      <svg viewBox={`0 0 ${width} ${height}`} role="group" aria-label={t("topology.of", { name })}>
        <line className="segment" x1={BOX.gap} x2={width - BOX.gap} y1={line} y2={line} />
        <text className="segment-name" x={width - BOX.gap} y={line - 8} textAnchor="end">
          {name} {range}
        </text>
        {placed.map((node) => {
          const middle = node.x + BOX.width / 2;
          const box = (
            <g className={`node ${node.kind}`}>
              <line x1={middle} x2={middle} y1={node.y < line ? node.y + BOX.height : node.y} y2={line} />
              <rect x={node.x} y={node.y} width={BOX.width} height={BOX.height} rx="8" />
              <text x={node.x + 12} y={node.y + 24}>
                {node.label.length > 18 ? `${node.label.slice(0, 17)}…` : node.label}
              </text>
              <text className="address" x={node.x + 12} y={node.y + 44}>
                {node.address}
                {node.state ? ` ${word("state", node.state)}` : ""}
              </text>
            </g>
          );
          return node.kind === "instance" ? (
            <Link key={node.id} href={`/instances/${node.id}`}>
              {box}
            </Link>
          ) : (
            <g key={node.id}>{box}</g>
          );
        })}
      </svg>
    </div>
  );
}
