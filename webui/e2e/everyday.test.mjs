// What everybody does every day: choose a language and a look that stay, find and stop several machines, give a program its token and take
// it back, go back to a snapshot, work in a console. Rule: what is awaited is shown by the page, never a time that passed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { OUTPUT, axe, browser, signIn, until, visitor } from "./browser.mjs";
import { center } from "./center.mjs";

let arame, chromium, tenant;

before(async () => {
  arame = await center(1);
  chromium = await browser();
  tenant = await visitor(chromium, arame.url, arame.demo);
});

after(async () => {
  await chromium?.close();
  await arame?.down();
});

async function launched(name) {
  const wish = { image_id: "wmi-tiny", instance_type: "tiny", display_name: name, hostname: name, security_groups: ["sg-default"], vifs: { eth0: { index: 0, network: "nw-demo1" } } };
  const { id } = await arame.ask("POST", "instances", wish);
  await tenant.page.goto(`/instances/${id}`);
  await tenant.page.locator(".head .state.good").waitFor();
  return id;
}

test("the language and the look that were chosen stay when the page is opened anew", async () => {
  const { page, complaints, close } = await visitor(chromium, arame.url, arame.demo);
  await page.getByRole("heading", { name: "ダッシュボード" }).waitFor();
  const ground = () => page.evaluate(() => getComputedStyle(document.querySelector("header.top")).backgroundColor);
  const light = await ground();
  await page.locator(".me summary").click();
  await page.getByLabel("配色").selectOption("dark");
  await page.getByLabel("言語").selectOption("en");
  await page.getByRole("heading", { name: "Dashboard" }).waitFor();
  await page.goto("/volumes");
  await page.getByRole("heading", { name: "Volumes" }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), "en");
  assert.notEqual(await ground(), light);
  assert.deepEqual(await axe(page), []);
  assert.deepEqual(complaints, []);
  await close();
});

test("several machines are found, chosen and stopped at once, and what cannot be is told of each", async () => {
  const { page } = tenant;
  for (const name of ["web1", "web2", "db1"]) await launched(name);
  await page.goto("/instances");
  await page.getByRole("link", { name: "db1" }).waitFor();
  await page.getByLabel("検索").fill("web2");
  await page.getByRole("link", { name: "db1" }).waitFor({ state: "detached" });
  await page.getByRole("link", { name: "web2" }).waitFor();
  await page.getByLabel("検索").fill("");
  for (const name of ["web1", "web2"]) await page.getByRole("checkbox", { name: `${name} を選択` }).check();
  const verb = (name) => page.locator(".bulk").getByRole("button", { name, exact: true });
  await verb("停止").click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("2 台を停止しますか？").waitFor();
  await page.screenshot({ path: `${OUTPUT}bulk.png` });
  await dialog.getByRole("button", { name: "停止", exact: true }).click();
  for (const name of ["web1", "web2"]) await page.getByRole("row", { name: new RegExp(name) }).locator(".state.still").waitFor();
  await page.getByRole("row", { name: /db1/ }).getByText("稼働中").waitFor();
  await page.getByLabel("状態").selectOption("halted");
  await page.getByRole("link", { name: "db1" }).waitFor({ state: "detached" });
  // What is off already cannot be rebooted: each says why.
  for (const name of ["web1", "web2"]) await page.getByRole("checkbox", { name: `${name} を選択` }).check();
  await verb("再起動").click();
  await dialog.getByRole("button", { name: "再起動", exact: true }).click();
  await dialog.getByText("2 件は実行できませんでした").waitFor();
  assert.equal(await dialog.locator(".failed li").count(), 2);
  tenant.complaints.length = 0;
});

test("a token is shown once, lets in, is in the audit log, and its end ends what was open with it", async () => {
  const { page } = tenant;
  await page.goto("/access");
  await page.getByRole("button", { name: "トークンを作る" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("名前").fill("ci");
  await dialog.getByRole("button", { name: "トークンを作る" }).click();
  const secret = (await dialog.locator(".secret").textContent()).trim();
  await dialog.locator("button.primary").click();
  await page.getByRole("row", { name: /ci/ }).waitFor();
  assert.ok(!(await page.content()).includes(secret), "it is not shown again");
  const other = await visitor(chromium, arame.url);
  await other.page.goto("/");
  await signIn(other.page, secret);
  await other.page.locator(".shell").waitFor();
  await other.page.goto("/volumes");
  await other.page.getByText("接続中").waitFor();
  await page.getByRole("row", { name: /ci/ }).getByRole("button", { name: "ci を削除" }).click();
  await dialog.getByRole("button", { name: "削除する" }).click();
  // Nobody pressed anything there.
  await other.page.getByRole("button", { name: "トークンでログイン" }).waitFor();
  await other.close();
  await page.goto("/audit-log");
  await page.getByRole("row", { name: /token\.revoke|token\.delete/ }).first().waitFor();
  tenant.complaints.length = 0;
});

test("a volume goes back to its snapshot once what that costs was said", async () => {
  const { page, complaints } = tenant;
  const { id } = await arame.ask("POST", "volumes", { display_name: "data", volume_size: 64 });
  await page.goto(`/volumes/${id}`);
  await page.locator(".head").getByText("利用可能").waitFor();
  await page.getByRole("button", { name: "スナップショットを作成" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("名前").fill("before");
  await dialog.getByRole("button", { name: "スナップショットを作成" }).click();
  const row = page.getByRole("row", { name: /before/ });
  await row.getByText("利用可能").waitFor();
  await row.getByRole("button", { name: "この時点に戻す" }).click();
  await dialog.getByText("その後に書いたデータは失われます").waitFor();
  await dialog.getByRole("button", { name: "この時点に戻す" }).click();
  await dialog.waitFor({ state: "hidden" });
  await until(async () => (await arame.ask("GET", `volumes/${id}`)).state === "available");
  await page.locator(".head").getByText("利用可能").waitFor();
  assert.equal((await arame.ask("GET", `volumes/${id}`)).rollback?.failure ?? null, null);
  assert.deepEqual(complaints, []);
});

test("a serial console takes what is pasted and what a Japanese keyboard makes, and fills the screen", async () => {
  const { page, complaints, close } = await visitor(chromium, arame.url, arame.demo);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: arame.url });
  const sent = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(Buffer.from(payload))));
  const id = await launched("con");
  await page.goto(`/instances/${id}`);
  await page.getByRole("tab", { name: "コンソール" }).click();
  await page.locator(".console-place[data-state=open]").waitFor();
  const shown = (text) => page.waitForFunction((words) => document.querySelector(".xterm-accessibility-tree")?.innerText.includes(words), text);
  await page.evaluate(() => navigator.clipboard.writeText("pasted-words"));
  await page.getByRole("button", { name: "貼り付け" }).click();
  await shown("pasted-words");
  // As an input method does it: written over and over while it is chosen, then taken.
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Input.imeSetComposition", { text: "あらめ", selectionStart: 3, selectionEnd: 3 });
  await devtools.send("Input.imeSetComposition", { text: "荒布", selectionStart: 2, selectionEnd: 2 });
  await devtools.send("Input.insertText", { text: "荒布" });
  // The simulated guest writes back no kanji: what was sent to it is looked at.
  await until(() => Buffer.concat(sent).toString().includes("荒布"));
  await page.getByRole("button", { name: "全画面" }).click();
  await page.waitForFunction(() => document.fullscreenElement?.classList.contains("console-frame"));
  // The keyboard is the machine's there.
  await page.keyboard.type("typed in full");
  await until(() => Buffer.concat(sent).toString().includes("typed in full"));
  await page.evaluate(() => document.exitFullscreen());
  assert.deepEqual(complaints, []);
  await close();
});

test("the dashboard tells what is used of the quota", async () => {
  const { page } = tenant;
  await arame.ask("PUT", "accounts/a-demo", { quota_instances: 7 }, arame.admin);
  await page.goto("/");
  const meter = page.getByRole("meter", { name: "インスタンス" });
  await meter.waitFor();
  const { "instance.count": used } = await arame.ask("GET", "accounts/a-demo/usage");
  assert.deepEqual([await meter.getAttribute("aria-valuenow"), await meter.getAttribute("aria-valuemax")], [String(used), "7"]);
  await tenant.close();
});
