// A real guest in the page: its serial console is typed into, its screen is seen, its figures are drawn. It is given a data center
// that runs (`spec/tests/real_road/browser.rs` does), and leaves it as it was.
//
//   ARAME_WEBUI_URL, ARAME_TOKEN_FILE, ARAME_INSTANCE, ARAME_TYPED, ARAME_TYPED_ON_SCREEN (names that nobody has): node --test e2e/guest.mjs

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { OUTPUT, browser, visitor } from "./browser.mjs";

const setting = (name) => process.env[name] ?? assert.fail(`${name} is not given`);
const machine = setting("ARAME_INSTANCE");
const typed = setting("ARAME_TYPED");
const typedOnScreen = setting("ARAME_TYPED_ON_SCREEN");

/** A guest under emulation on a busy machine answers a key within this. */
const GUEST_MS = 60_000;

let chromium, visit;

before(async () => {
  chromium = await browser();
  visit = await visitor(chromium, setting("ARAME_WEBUI_URL"), readFileSync(setting("ARAME_TOKEN_FILE"), "utf8").trim());
  await visit.page.goto(`/instances/${machine}`);
  await visit.page.locator(".head .state.good").getByText("稼働中").waitFor();
});

after(() => chromium?.close());

/** Until the terminal's text says it. */
function shows(page, pattern) {
  const seen = (source) => new RegExp(source).test(document.querySelector(".xterm-accessibility-tree")?.innerText ?? "");
  return page.waitForFunction(seen, pattern, { timeout: GUEST_MS });
}

test("what is typed into the page reaches the guest, and what it answers is shown", async () => {
  const { page, complaints } = visit;
  await page.getByRole("tab", { name: "コンソール" }).click();
  await page.locator(".console-place[data-state=open]").waitFor();
  await page.keyboard.press("Enter");
  await shows(page, "login:");
  await page.keyboard.type(`${typed}\n`, { delay: 20 });
  await shows(page, `${typed}[\\s\\S]*assword:`);
  await page.keyboard.type("wrong\n", { delay: 20 });
  await shows(page, `${typed}[\\s\\S]*ncorrect`);
  await page.screenshot({ path: `${OUTPUT}real-console.png` });
  assert.deepEqual(complaints, []);
});

test("its screen is in the page", async () => {
  const { page, complaints } = visit;
  await page.getByRole("tab", { name: "画面", exact: true }).click();
  await page.locator(".screen-place[data-state=open] canvas").waitFor({ timeout: GUEST_MS });
  // A picture has come: QEMU's screens have a size of their own.
  await page.waitForFunction(() => (document.querySelector(".screen-place canvas")?.width ?? 0) >= 320, undefined, { timeout: GUEST_MS });
  await page.screenshot({ path: `${OUTPUT}real-screen.png` });
  assert.deepEqual(complaints, []);
});

test("a text is typed into its screen by the page; whoever began this looks whether the guest has it", async () => {
  const { page, complaints } = visit;
  await page.getByRole("button", { name: "貼り付け" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("打ち込む文字").fill(typedOnScreen);
  await dialog.getByLabel("マシンのキーボード配列").selectOption("us");
  await dialog.getByRole("button", { name: "打ち込む" }).click();
  await dialog.waitFor({ state: "hidden" });
  // All of it was sent when the button is back.
  await page.getByRole("button", { name: "貼り付け" }).waitFor();
  await page.screenshot({ path: `${OUTPUT}real-screen-typed.png` });
  assert.deepEqual(complaints, []);
});

test("what it really uses is drawn", async () => {
  const { page, complaints } = visit;
  await page.getByRole("tab", { name: "使用状況" }).click();
  await page.locator(".chart canvas").first().waitFor({ timeout: GUEST_MS });
  await page.getByRole("row", { name: /起動ディスク/ }).getByText(/[KM]iB/).first().waitFor();
  await page.screenshot({ path: `${OUTPUT}real-metrics.png`, fullPage: true });
  assert.deepEqual(complaints, []);
});
