// Makes the pictures of the guide: of the product itself, in a data center of its own (simulated hosts), in both languages, into
// app/pages/guide. Rule: each is at most 60 KB, and the guide names exactly those that are made here.
//
//   npm run pictures      ARAME_BIN names the folder of the programs; about five minutes, most of them for figures to come

import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { browser, visitor } from "./browser.mjs";
import { center } from "./center.mjs";

const FOLDER = new URL("../app/pages/guide/", import.meta.url);
const SIZE = { width: 1240, height: 770 };
const BYTES_MAX = 60 * 1024;
const QUALITY = 72;
/** Points of a chart that look like one: about one comes a minute. */
const POINTS = 5;
const LOOK_MS = 5_000;

const LANGUAGES = [
  { name: "ja", locale: "ja-JP" },
  { name: "en", locale: "en-GB" },
];

const arame = await center();
const chromium = await browser();
try {
  await main();
} finally {
  await chromium.close();
  await arame.down();
}

async function until(look) {
  for (;;) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

async function launched(name, type) {
  const wish = { image_id: "wmi-tiny", instance_type: type, display_name: name, hostname: name, ssh_key_id: "ssh-demo", security_groups: ["sg-default"], vifs: { eth0: { index: 0, network: "nw-demo1" } } };
  const { id } = await arame.ask("POST", "instances", wish);
  await until(async () => (await arame.ask("GET", `instances/${id}`)).state === "running");
  return id;
}

async function stored(name, gib) {
  const { id } = await arame.ask("POST", "volumes", { display_name: name, volume_size: gib * 1024 });
  await until(async () => (await arame.ask("GET", `volumes/${id}`)).state === "available");
  return id;
}

/** What the pictures are of: a small web service. */
async function things() {
  const web = await launched("web1", "small");
  await launched("db1", "small");
  const volume = await stored("web-data", 20);
  await arame.ask("PUT", `volumes/${volume}/attach`, { instance_id: web });
  await arame.ask("POST", "volume_snapshots", { volume_id: volume, display_name: "before-upgrade" });
  await arame.ask("PUT", `volumes/${volume}/backup`, { display_name: "nightly" });
  const rule = "tcp:22,22,ip4:192.0.2.0/24 # office\ntcp:80,80,ip4:0.0.0.0/0\ntcp:443,443,ip4:0.0.0.0/0\nicmp:-1,-1,ip4:0.0.0.0/0";
  await arame.ask("PUT", "security_groups/sg-default", { rule });
  const { host_node: host } = await arame.ask("GET", `instances/${web}`);
  await until(async () => (await arame.ask("GET", `volumes/${volume}`)).state === "attached");
  return { web, volume, host };
}

async function picture(page, name, language) {
  await page.waitForFunction(() => !document.querySelector("main .loading, dialog[open] .loading"));
  // Chromium's own: Playwright makes no WebP.
  const devtools = await page.context().newCDPSession(page);
  const { data } = await devtools.send("Page.captureScreenshot", { format: "webp", quality: QUALITY });
  const bytes = Buffer.from(data, "base64");
  assert.ok(bytes.length <= BYTES_MAX, `${name}.${language} has ${bytes.length} bytes`);
  await writeFile(new URL(`${name}.${language}.webp`, FOLDER), bytes);
  console.log(`${name}.${language}.webp  ${(bytes.length / 1024).toFixed(1)} KiB`);
}

async function main() {
  await mkdir(FOLDER, { recursive: true });
  const { web, volume, host } = await things();
  const way = (locale) => ({ locale, colorScheme: "light", viewport: SIZE });
  for (const { name, locale } of LANGUAGES) {
    const tenant = await visitor(chromium, arame.url, arame.demo, way(locale));
    const { page } = tenant;
    const at = (path) => page.goto(path).then(() => page.locator("main h1").first().waitFor());
    await at("/instances/new");
    await page.locator(".plan .fine").waitFor();
    await picture(page, "launch", name);
    await at(`/instances/${web}`);
    await page.locator(".head .state.good").waitFor();
    await page.getByRole("row", { name: /web-data/ }).waitFor();
    await picture(page, "instance", name);
    await at(`/volumes/${volume}`);
    await page.getByRole("row", { name: /before-upgrade/ }).waitFor();
    await page.getByRole("row", { name: /nightly/ }).waitFor();
    await page.evaluate(() => window.scrollTo(0, 60));
    await picture(page, "volume", name);
    await at("/security-groups/sg-default");
    await page.getByRole("link", { name: "web1" }).waitFor();
    await picture(page, "rules", name);
    await tenant.close();
    const operator = await visitor(chromium, arame.url, arame.admin, way(locale));
    await operator.page.goto(`/hosts/${host}`);
    await operator.page.getByRole("button", { name: /^(退避|Drain)$/ }).click();
    await operator.page.locator("dialog[open] .plain-list li").first().waitFor();
    await picture(operator.page, "drain", name);
    await operator.close();
  }
  await until(async () => (await arame.ask("GET", `instances/${web}/usage`)).history.length >= POINTS);
  for (const { name, locale } of LANGUAGES) {
    const { page, close } = await visitor(chromium, arame.url, arame.demo, way(locale));
    await page.goto(`/instances/${web}`);
    await page.getByRole("tab", { name: /^(使用状況|Metrics)$/ }).click();
    await page.locator(".chart canvas").first().waitFor();
    await page.evaluate(() => window.scrollTo(0, 110));
    await picture(page, "metrics", name);
    await close();
  }
}
