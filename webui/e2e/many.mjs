// Promise: with 1,000 instances in the data center the first useful paint comes within a second (an idle machine), and beyond a page
// of rows the server pages. Measured in Chromium against `arame up --sim`: the dashboard until it counts, the list until it has rows,
// each in a browser that has nothing yet and in one that has the scripts. Medians and counts of runs are printed; nothing is asserted
// about time, for the machine that runs this may be busy. Compared with the same pages and five instances.
//
//   npm run bench        ARAME_BIN names the folder of the programs (release ones are what is promised of)

import { browser, visitor } from "./browser.mjs";
import { center } from "./center.mjs";

const MANY = 1000;
const FEW = 5;
const HOSTS = 6;
const AT_ONCE = 8;
const TURNS = 7;
const LOOK_MS = 1_000;

/** What makes a page useful, as a selector that matches then. */
const PAGES = [
  { path: "/", useful: ".count strong:not(:empty)" },
  { path: "/instances", useful: "tbody tr a[href^='/instances/']" },
];

const arame = await center(HOSTS);
const chromium = await browser();
try {
  await main();
} finally {
  await chromium.close();
  await arame.down();
}

async function network() {
  const wish = { dc_network: "dcn-demo", network: "10.180.0.0", prefix: 20, network_mode: "securitygroup", editable: true, display_name: "many" };
  const { id } = await arame.ask("POST", "networks", wish);
  await arame.ask("PUT", `networks/${id}/dhcp_ranges/add`, { range_begin: "10.180.0.10", range_end: "10.180.15.250" });
  return id;
}

async function launch(network, from, to) {
  const begin = performance.now();
  let next = from;
  const one = async () => {
    while (next < to) {
      const name = `m${next++}`;
      const wish = { image_id: "wmi-tiny", instance_type: "tiny", display_name: name, hostname: name, security_groups: ["sg-default"], vifs: { eth0: { index: 0, network } } };
      await arame.ask("POST", "instances", wish);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  for (;;) {
    const [page] = await arame.ask("GET", "instances?state=running&limit=1");
    if (page.total >= to) break;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  console.log(`${to - from} launched and running after ${((performance.now() - begin) / 1000).toFixed(0)} s`);
}

/** Runs in the page before its own scripts: when what makes it useful was there and had been painted. */
function watch(selector) {
  const seen = new MutationObserver(() => {
    if (globalThis.usefulAt !== undefined || !document.querySelector(selector)) return;
    if (document.querySelector(selector).textContent === "…") return;
    globalThis.usefulAt = null;
    requestAnimationFrame(() => setTimeout(() => (globalThis.usefulAt = performance.now())));
  });
  seen.observe(document, { childList: true, subtree: true, characterData: true });
}

async function turn(kept, { path, useful }) {
  const context = await chromium.newContext({ baseURL: arame.url, storageState: kept, locale: "ja-JP", viewport: { width: 1280, height: 860 } });
  await context.addInitScript(watch, useful);
  const page = await context.newPage();
  const visit = async () => {
    await page.goto(path);
    await page.waitForFunction(() => typeof globalThis.usefulAt === "number");
    return page.evaluate(() => ({ first: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0, useful: globalThis.usefulAt }));
  };
  const cold = await visit();
  const warm = await visit();
  await context.close();
  return { cold, warm };
}

function median(values) {
  return [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)];
}

async function measure(kept, count) {
  for (const page of PAGES) {
    const turns = [];
    for (let n = 0; n < TURNS; n += 1) turns.push(await turn(kept, page));
    for (const way of ["cold", "warm"]) {
      const of = (what) => Math.round(median(turns.map((one) => one[way][what])));
      console.log(`${String(count).padStart(5)} instances  ${page.path.padEnd(11)} ${way}: first paint ${of("first")} ms, useful ${of("useful")} ms (medians of ${TURNS})`);
    }
  }
}

async function main() {
  const { page, close } = await visitor(chromium, arame.url, arame.demo);
  const kept = await page.context().storageState();
  await close();
  const id = await network();
  await launch(id, 0, FEW);
  await measure(kept, FEW);
  await launch(id, FEW, MANY);
  await measure(kept, MANY);
}
