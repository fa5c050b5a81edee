// What of the built pages a browser has to fetch before they are usable, and what comes when wanted, as it goes over the line (gzip).
// Rule: what the page names is counted, with everything that imports without being asked; a growth beyond the promise fails the build.
//
//   node e2e/sizes.mjs     prints it; ends with 1 when it is too much

import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

export const FIRST_BYTES_MAX = 200 * 1024;
const DIST = new URL("../dist/", import.meta.url);

/** Scripts that a page or a script names to be fetched at once: not those of `import(…)`. */
function named(text) {
  const tags = [...text.matchAll(/(?:src|href)="\/?(assets\/[^"]+\.js)"/g)].map((match) => match[1]);
  const imports = [...text.matchAll(/(?:^|[;}\s])(?:import|export)\b[^;"'()]*["']\.\/([^"']+\.js)["']/g)].map((match) => `assets/${match[1]}`);
  return [...tags, ...imports];
}

export function sizes() {
  const read = (name) => readFileSync(new URL(name, DIST));
  const packed = (name) => gzipSync(read(name)).length;
  const first = new Set();
  const waiting = named(String(read("index.html")));
  for (let name = waiting.pop(); name; name = waiting.pop()) {
    if (first.has(name)) continue;
    first.add(name);
    waiting.push(...named(String(read(name))));
  }
  const scripts = readdirSync(new URL("assets/", DIST)).filter((name) => name.endsWith(".js")).map((name) => `assets/${name}`);
  const later = scripts.filter((name) => !first.has(name)).map((name) => ({ name, bytes: packed(name) }));
  return {
    first: [...first].map((name) => ({ name, bytes: packed(name) })),
    bytes: [...first].reduce((sum, name) => sum + packed(name), 0),
    later: later.sort((one, other) => other.bytes - one.bytes),
  };
}

const kib = (bytes) => `${(bytes / 1024).toFixed(1).padStart(7)} KiB`;

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { first, bytes, later } = sizes();
  console.log(`script before the pages are usable (gzip, at most ${FIRST_BYTES_MAX / 1024} KiB):`);
  for (const one of first) console.log(`${kib(one.bytes)}  ${one.name}`);
  console.log(`${kib(bytes)}  in all; when wanted:`);
  for (const one of later) console.log(`${kib(one.bytes)}  ${one.name}`);
  if (first.length === 0 || bytes > FIRST_BYTES_MAX) {
    console.error("more script than is promised");
    process.exit(1);
  }
}
