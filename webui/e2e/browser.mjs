// Debian's Chromium, headless, and what every test asks of a page. Rule: what a page complains of to its console fails the test,
// unless it is the refusal the test is about.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
export const OUTPUT = new URL("./output/", import.meta.url).pathname;

/** Longest a page may take to show what a test waits for: the machine is shared. */
const PATIENCE_MS = 30_000;

export async function browser() {
  await mkdir(OUTPUT, { recursive: true });
  // In a container and as root Chromium's own sandbox cannot be made.
  return chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
}

export const WAYS = [
  { name: "ja-light", locale: "ja-JP", colorScheme: "light", viewport: { width: 1280, height: 860 } },
  { name: "en-dark", locale: "en-GB", colorScheme: "dark", viewport: { width: 1440, height: 900 } },
  { name: "ja-dark-phone", locale: "ja-JP", colorScheme: "dark", viewport: { width: 360, height: 740 } },
  { name: "en-light-phone", locale: "en-GB", colorScheme: "light", viewport: { width: 360, height: 740 } },
];

export async function visitor(chromium, url, token, way = WAYS[0]) {
  const { name: _, ...options } = way;
  const context = await chromium.newContext({ ...options, baseURL: url, reducedMotion: "reduce" });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !/status of 401|ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|status of 502/.test(text)) complaints.push(text);
  });
  if (token) {
    await page.goto("/");
    await signIn(page, token);
    await page.locator(".shell").waitFor();
  }
  return { page, complaints, close: () => context.close() };
}

export async function signIn(page, token) {
  await page.getByRole("button", { name: /^(トークンでログイン|By token)$/ }).click();
  await page.locator("input[name=token]").fill(token);
  await page.locator("form button[type=submit]").click();
}

/** Serious and critical findings of axe, as words. */
export async function axe(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  const serious = violations.filter((one) => one.impact === "serious" || one.impact === "critical");
  return serious.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.target} ${node.failureSummary}`).join("; ")}`);
}

/** Until it is so, for as long as a page is waited for. What a page was told is not yet what the data center has done. */
export async function until(is) {
  const end = Date.now() + PATIENCE_MS;
  while (!(await is()) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(await is(), String(is));
}
