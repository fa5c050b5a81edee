// The life of a machine after its first day: what it uses, what is changed of it, what it becomes, what it does not let go; and who may
// do so. Rule: what is awaited is shown by the page, never a time that passed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { OUTPUT, WAYS, axe, browser, visitor } from "./browser.mjs";
import { center } from "./center.mjs";

/** Two readings of a host, ten seconds apart, and the page's own look at them. */
const FIGURES_MS = 60_000;

let arame, chromium, tenant, machine, host, volume;

before(async () => {
  arame = await center(2);
  chromium = await browser();
  const wish = { image_id: "wmi-tiny", instance_type: "tiny", display_name: "web1", hostname: "web1", security_groups: ["sg-default"], vifs: { eth0: { index: 0, network: "nw-demo1" } } };
  machine = (await arame.ask("POST", "instances", wish)).id;
  volume = (await arame.ask("POST", "volumes", { display_name: "data", volume_size: 1024 })).id;
  tenant = await visitor(chromium, arame.url, arame.demo);
  await tenant.page.goto(`/instances/${machine}`);
  await tenant.page.locator(".head .state.good").getByText("稼働中").waitFor();
  host = (await arame.ask("GET", `instances/${machine}`)).host_node.replace("hn-", "hva.");
});

after(async () => {
  await chromium?.close();
  await arame?.down();
});

test("what a machine uses is drawn, and stands in a table that needs no eyes", async () => {
  const { page, complaints } = tenant;
  await page.getByRole("tab", { name: "使用状況" }).click();
  await page.getByRole("img", { name: /CPU 使用率のグラフ/ }).locator("canvas").waitFor({ timeout: FIGURES_MS });
  assert.equal(await page.locator(".chart canvas").count(), 4);
  await page.getByRole("row", { name: /起動ディスク/ }).waitFor();
  await page.getByText("グラフの数字を表で見る").click();
  const rows = page.getByRole("table", { name: "グラフの数字を表で見る" }).getByRole("row");
  // A head and a reading that has a percentage.
  await rows.nth(1).getByText("%").waitFor();
  assert.deepEqual(complaints, []);
});

for (const way of WAYS) {
  test(`the charts in ${way.name}: nothing wider than the window, nothing serious for axe`, async () => {
    const { page, complaints, close } = await visitor(chromium, arame.url, arame.demo, way);
    await page.goto(`/instances/${machine}`);
    await page.getByRole("tab", { name: way.locale === "ja-JP" ? "使用状況" : "Metrics" }).click();
    await page.locator(".chart canvas").first().waitFor();
    const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    assert.ok(wider <= 0, `${wider} px wider than the window`);
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: `${OUTPUT}${way.name}_metrics.png`, fullPage: true });
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("a host that is silent is told with when it was heard last, over what was known", async () => {
  const { page } = tenant;
  const pid = await arame.pid(host);
  process.kill(pid, "SIGSTOP");
  try {
    await page.getByRole("alert").getByText("最後の連絡").waitFor({ timeout: 60_000 });
    await page.screenshot({ path: `${OUTPUT}metrics-silent.png`, fullPage: true });
    assert.equal(await page.locator(".chart canvas").count(), 4, "what was read before is still there");
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await page.getByRole("alert").waitFor({ state: "detached", timeout: 60_000 });
  tenant.complaints.length = 0;
});

test("what follows when its guest dies is chosen and shown", async () => {
  const { page, complaints } = tenant;
  await page.getByRole("tab", { name: "概要" }).click();
  await page.getByText("必ず起動し直す").waitFor();
  await page.getByRole("button", { name: "設定を変える" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("起動し直さない").check();
  await dialog.getByLabel("名前").fill("web-one");
  assert.deepEqual(await axe(page), []);
  await page.screenshot({ path: `${OUTPUT}instance-settings.png` });
  await dialog.getByRole("button", { name: "設定を変える" }).click();
  await page.getByRole("heading", { name: "web-one" }).waitFor();
  await page.locator(".facts").getByText("起動し直さない").waitFor();
  const told = await arame.ask("GET", `instances/${machine}`);
  assert.deepEqual([told.restart_policy, told.vif[0].security_groups], ["never", ["sg-default"]]);
  assert.deepEqual(complaints, []);
});

test("a machine becomes an image, and what kind of copy it is was said before", async () => {
  const { page, complaints } = tenant;
  await page.getByRole("button", { name: "イメージにする" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("いま突然電源が切れた場合と同じ状態").waitFor();
  await dialog.getByLabel("イメージの名前").fill("golden");
  await page.screenshot({ path: `${OUTPUT}imaging.png` });
  await dialog.getByRole("button", { name: "イメージにする" }).click();
  await page.getByRole("link", { name: "イメージの一覧を見る" }).click();
  await page.getByRole("row", { name: /golden/ }).getByText("利用可能").waitFor();
  assert.deepEqual(complaints, []);
});

test("a volume that its guest holds is told of, and taken away by force once what that costs was said", async () => {
  const { page } = tenant;
  await page.goto(`/instances/${machine}`);
  await page.getByRole("button", { name: "ボリュームを接続" }).click();
  await page.getByRole("dialog").getByLabel("ボリューム").selectOption(volume);
  await page.getByRole("dialog").getByRole("button", { name: "ボリュームを接続" }).click();
  const row = page.getByRole("row", { name: /data/ });
  await row.getByText("接続済み").waitFor();
  await arame.fail(host, { kind: "ensure_unplugged", point: "before_effect", action: "fail", times: 6, fails_as: "guest_holds_volume" });
  await row.getByRole("button", { name: "切り離す" }).click();
  await page.getByText("ゲストがボリュームを手放しません。").first().waitFor({ timeout: 90_000 });
  await page.screenshot({ path: `${OUTPUT}volume-held.png`, fullPage: true });
  await row.getByRole("link", { name: "data" }).click();
  await page.getByText("ゲストがこのボリュームを手放しません").waitFor();
  await page.getByRole("button", { name: "強制的に切り離す" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByText("書き込み途中のデータは失われます").waitFor();
  assert.deepEqual(await axe(page), []);
  await page.screenshot({ path: `${OUTPUT}volume-force.png` });
  assert.equal((await arame.ask("GET", `volumes/${volume}`)).state, "detaching", "the question alone did nothing");
  await dialog.getByRole("button", { name: "強制的に切り離す" }).click();
  await page.locator(".head").getByText("利用可能").waitFor({ timeout: 90_000 });
  const told = await arame.ask("GET", `instances/${machine}`);
  assert.deepEqual([told.state, told.failure ?? null], ["running", null]);
  tenant.complaints.length = 0;
});

test("an operator makes an account with a quota and a person who may work in it, and takes both back", async () => {
  const { page, complaints, close } = await visitor(chromium, arame.url, arame.admin);
  await page.goto("/accounts");
  await page.getByRole("button", { name: "アカウントを作成" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("名前").fill("team");
  await dialog.getByLabel("ID").fill("a-team");
  await dialog.getByLabel("インスタンスの上限").fill("5");
  await dialog.getByRole("button", { name: "アカウントを作成" }).click();
  const account = page.getByRole("row", { name: /a-team/ }).first();
  await account.getByRole("meter", { name: "インスタンス" }).waitFor();
  await account.getByRole("button", { name: "クォータ変更" }).click();
  await dialog.getByLabel("インスタンスの上限").fill("7");
  await dialog.getByRole("button", { name: /のクォータ/ }).click();
  await account.getByText("0 / 7").waitFor();
  await page.getByRole("button", { name: "ユーザーを作成" }).click();
  await dialog.getByLabel("ユーザー名").fill("hanako");
  await dialog.getByLabel("パスワード").fill("a long first password");
  await dialog.getByLabel("所属 1 のアカウント").selectOption("a-team");
  await dialog.getByRole("button", { name: "ユーザーを作成" }).click();
  const user = page.getByRole("row", { name: /hanako/ });
  await user.getByText("a-team (メンバー)").waitFor();
  await user.getByRole("button", { name: "変更" }).click();
  await dialog.getByRole("button", { name: "所属を追加" }).click();
  await dialog.getByLabel("所属 2 のアカウント").selectOption("a-demo");
  await dialog.getByLabel("所属 2 の役割").selectOption("auditor");
  await page.screenshot({ path: `${OUTPUT}user-change.png` });
  assert.deepEqual(await axe(page), []);
  await dialog.getByRole("button", { name: "ユーザー hanako の変更" }).click();
  await user.getByText(/a-team \(メンバー\), a-demo \(監査者/).or(user.getByText(/a-demo \(監査者.*, a-team \(メンバー\)/)).waitFor();
  await user.getByRole("button", { name: "変更" }).click();
  await dialog.getByLabel("ログインを許可する").uncheck();
  await dialog.getByRole("button", { name: "ユーザー hanako の変更" }).click();
  await user.getByText("無効").waitFor();
  await user.getByRole("button", { name: "hanako を削除" }).click();
  await page.getByRole("button", { name: "削除する" }).click();
  await user.waitFor({ state: "detached" });
  assert.deepEqual(complaints, []);
  await close();
});

test("a group of hosts is made, filled and packed", async () => {
  const { page, complaints, close } = await visitor(chromium, arame.url, arame.admin);
  await page.goto("/hosts");
  await page.getByText("グループを作成するには").waitFor();
  await page.getByRole("combobox", { name: "アカウント" }).selectOption("a-demo");
  await page.getByRole("button", { name: "グループを作成" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("名前").fill("rack1");
  await dialog.getByRole("button", { name: "グループを作成" }).click();
  const row = page.getByRole("row", { name: /rack1/ });
  await row.getByRole("button", { name: "変更" }).click();
  await dialog.getByRole("radio", { name: /詰める/ }).check();
  await dialog.getByRole("checkbox").first().check();
  await dialog.getByRole("button", { name: "グループ rack1 の変更" }).click();
  await row.getByText("詰める").waitFor();
  await row.getByText("hn-h1").waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("a network's DHCP ranges are added and taken out by a form", async () => {
  const { page } = tenant;
  const own = { dc_network: "dcn-demo", network: "10.178.0.0", prefix: 24, network_mode: "securitygroup", editable: true, display_name: "ranges" };
  const { id } = await arame.ask("POST", "networks", own);
  await page.goto(`/networks/${id}`);
  await page.getByRole("button", { name: "DHCP の範囲を変える" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("最初のアドレス").fill("10.178.0.100");
  await dialog.getByLabel("最後のアドレス").fill("10.178.0.120");
  await dialog.getByRole("button", { name: "範囲を追加" }).click();
  await dialog.getByText("10.178.0.100 – 10.178.0.120").waitFor();
  await dialog.getByLabel("最初のアドレス").fill("10.9.0.1");
  await dialog.getByRole("button", { name: "範囲を追加" }).click();
  await dialog.getByText("対処").waitFor();
  await dialog.getByRole("button", { name: "範囲 10.178.0.100 – 10.178.0.120 を外す" }).click();
  await dialog.getByText("10.178.0.100 – 10.178.0.120").waitFor({ state: "detached" });
  await arame.ask("DELETE", `networks/${id}`);
  tenant.complaints.length = 0;
  await tenant.close();
});
