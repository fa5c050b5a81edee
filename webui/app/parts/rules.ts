// The rules of a security group, between the text Wakame-vdc reads and the rows of a form. Pure. What the form cannot show is
// kept as text and never dropped; whether a text is right is the API's to say.

export interface Rule {
  protocol: "tcp" | "udp" | "icmp";
  /** Ports, or type and code of ICMP (-1 is any). */
  first: string;
  last: string;
  /** `ip4:0.0.0.0/0` or a group. */
  source: string;
  comment: string;
}

export function parse(text: string): { rules: Rule[]; left: string[] } {
  const rules: Rule[] = [];
  const left: string[] = [];
  for (const line of text.split("\n")) {
    const at = line.indexOf("#");
    const code = (at < 0 ? line : line.slice(0, at)).trim();
    const comment = at < 0 ? "" : line.slice(at + 1).trim();
    if (code === "") {
      if (comment) left.push(line.trim());
      continue;
    }
    const match = /^(tcp|udp|icmp):\s*(-?\d+)\s*,\s*(-?\d+)\s*,\s*(\S+)$/.exec(code);
    if (match) {
      const [, protocol, first, last, source] = match as unknown as [string, Rule["protocol"], string, string, string];
      rules.push({ protocol, first, last, source, comment });
    } else left.push(line.trim());
  }
  return { rules, left };
}

export function write({ rules, left }: { rules: Rule[]; left: string[] }): string {
  const line = (rule: Rule) =>
    `${rule.protocol}:${rule.first},${rule.last},${rule.source}${rule.comment ? ` # ${rule.comment}` : ""}`;
  return [...left, ...rules.map(line)].join("\n");
}
