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
  await page.getByLabel("検索").fill("EB");
  await page.getByRole("link", { name: "db1" }).waitFor({ state: "detached" });
  for (const name of ["web1", "web2"]) await page.getByRole("link", { name }).waitFor();
  await page.getByLabel("検索").fill("10.100.0.");
  await page.getByRole("link", { name: "db1" }).waitFor();
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

test("a reboot is asked about first, and how one gets in is told", async () => {
  const { page, complaints } = tenant;
  const id = await launched("shop1");
  await page.getByText(/^ssh root@10\.100\.0\.\d+$/).waitFor({ state: "detached" });
  const key = (await arame.ask("GET", "ssh_key_pairs"))[0].results[0].id;
  await arame.ask("PUT", `instances/${id}`, { ssh_key_id: key });
  await page.getByText(/^ssh root@10\.100\.0\.\d+$/).waitFor();
  const reboots = async () => (await arame.ask("GET", "audit_log"))[0].results.filter((one) => one.verb === "instance.reboot" && one.resource === id).length;
  const dialog = page.getByRole("dialog");
  await page.locator(".head").getByRole("button", { name: "再起動" }).click();
  await dialog.getByText("1 台を再起動しますか？").waitFor();
  await dialog.getByRole("button", { name: "キャンセル" }).click();
  assert.equal(await reboots(), 0, "it was only asked");
  await page.locator(".head").getByRole("button", { name: "再起動" }).click();
  await dialog.getByRole("button", { name: "再起動", exact: true }).click();
  await until(async () => (await reboots()) === 1);
  await page.goto("/audit-log");
  await page.getByRole("row", { name: /インスタンス: 再起動/ }).first().getByRole("link", { name: id }).click();
  await page.getByRole("heading", { name: "shop1" }).waitFor();
  assert.deepEqual(complaints, []);
});

test("a network is made by a form that refuses a range in place, and is deleted again", async () => {
  const { page } = tenant;
  await page.goto("/networks");
  await page.getByRole("button", { name: "ネットワークを作成" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("名前").fill("dev");
  await dialog.getByLabel("範囲").fill("10.1.0.5/24");
  await dialog.getByRole("button", { name: "ネットワークを作成" }).click();
  await dialog.getByText("この形の値が必要です: 10.1.0.0").waitFor();
  await dialog.getByLabel("範囲").fill("10.1.0.0/24");
  await dialog.getByLabel("ゲートウェイ").fill("10.1.0.1");
  await page.screenshot({ path: `${OUTPUT}network-new.png` });
  await dialog.getByRole("button", { name: "ネットワークを作成" }).click();
  await page.getByRole("heading", { name: "dev" }).waitFor();
  await page.getByText("セキュリティグループで保護").waitFor();
  const { results } = (await arame.ask("GET", "networks"))[0];
  const made = results.find((one) => one.display_name === "dev");
  assert.deepEqual([made.ipv4_network, made.prefix, made.ipv4_gw, made.dhcp_ranges.length], ["10.1.0.0", 24, "10.1.0.1", 1], JSON.stringify(made));
  await page.getByRole("button", { name: "dev を削除" }).click();
  await dialog.getByRole("button", { name: "削除する" }).click();
  await page.getByRole("heading", { name: "ネットワーク" }).waitFor();
  await page.getByRole("link", { name: "dev" }).waitFor({ state: "detached" });
  tenant.complaints.length = 0;
});

test("a usual rule is one press, and none twice", async () => {
  const { page, complaints } = tenant;
  const group = await arame.ask("POST", "security_groups", { display_name: "front", rule: "tcp:22,22,ip4:0.0.0.0/0" });
  await page.goto(`/security-groups/${group.id}`);
  assert.ok(await page.getByRole("button", { name: "+ SSH" }).isDisabled());
  await page.getByRole("button", { name: "+ HTTPS" }).click();
  await page.getByRole("button", { name: "+ ping" }).click();
  assert.ok(await page.getByRole("button", { name: "+ HTTPS" }).isDisabled());
  await page.getByRole("button", { name: "保存する" }).click();
  await page.getByText("保存しました").waitFor();
  const { rule } = await arame.ask("GET", `security_groups/${group.id}`);
  assert.deepEqual(rule.trim().split("\n"), ["tcp:22,22,ip4:0.0.0.0/0", "tcp:443,443,ip4:0.0.0.0/0", "icmp:8,0,ip4:0.0.0.0/0"]);
  assert.deepEqual(complaints, []);
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
