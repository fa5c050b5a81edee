// What somebody else changes while a page is open, and what an operator does about what is gone: a host that is declared lost, a naming
// service that gives its networks away, a node that never came. Rule: what is awaited is shown by the page, never a time that passed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { OUTPUT, WAYS, axe, browser, until, visitor } from "./browser.mjs";
import { center } from "./center.mjs";

/** A host counts as silent after three heartbeats, and its page looks every ten seconds, on a machine that is shared. */
const SILENCE_MS = 90_000;

let arame, chromium, tenant, operator, machine;

before(async () => {
  arame = await center(2);
  chromium = await browser();
  const wish = { image_id: "wmi-tiny", instance_type: "tiny", display_name: "web1", hostname: "web1", security_groups: ["sg-default"], vifs: { eth0: { index: 0, network: "nw-demo1" } } };
  machine = (await arame.ask("POST", "instances", wish)).id;
  tenant = await visitor(chromium, arame.url, arame.demo);
  operator = await visitor(chromium, arame.url, arame.admin);
  await tenant.page.goto(`/instances/${machine}`);
  await tenant.page.locator(".head .state.good").getByText("稼働中").waitFor();
});

after(async () => {
  await chromium?.close();
  await arame?.down();
});

test("pages follow what is made, changed and deleted elsewhere of groups, and who is in one", async () => {
  const { page, complaints } = tenant;
  await page.goto("/security-groups");
  await page.getByRole("link", { name: "default" }).waitFor();
  const { id } = await arame.ask("POST", "security_groups", { display_name: "made-elsewhere", rule: "" });
  await page.getByRole("link", { name: "made-elsewhere" }).waitFor();
  await arame.ask("PUT", `security_groups/${id}`, { display_name: "renamed-elsewhere" });
  await page.getByRole("link", { name: "renamed-elsewhere" }).click();
  await page.getByText(/このグループを使うインスタンス: 0 台/).waitFor();
  const [vif] = (await arame.ask("GET", `instances/${machine}`)).vif;
  await arame.ask("PUT", `network_vifs/${vif.vif_id}/add_security_group`, { security_group_id: id });
  await page.getByText(/このグループを使うインスタンス: 1 台/).waitFor();
  await arame.ask("PUT", `network_vifs/${vif.vif_id}/remove_security_group`, { security_group_id: id });
  await page.getByText(/このグループを使うインスタンス: 0 台/).waitFor();
  await page.getByRole("link", { name: "セキュリティグループ" }).first().click();
  await page.getByRole("link", { name: "renamed-elsewhere" }).waitFor();
  await arame.ask("DELETE", `security_groups/${id}`);
  await page.getByRole("link", { name: "renamed-elsewhere" }).waitFor({ state: "detached" });
  await page.goto("/");
  await page.locator(".timeline").getByText(/セキュリティグループが削除されました/).waitFor();
  assert.deepEqual(complaints, []);
});

test("the list of images follows one that comes, is renamed, shared and deleted elsewhere", async () => {
  const { page, complaints } = tenant;
  await page.goto("/images");
  await page.getByRole("row", { name: /wmi-tiny/ }).waitFor();
  const { id } = await arame.ask("POST", "images", { uri: "http://10.1.2.3/disk.raw", file_format: "raw", display_name: "refused" });
  const row = page.getByRole("row", { name: new RegExp(id) });
  await row.getByText("失敗").waitFor();
  // Nothing is on its way any more: from here on only events bring news.
  await arame.ask("PUT", `images/${id}`, { display_name: "renamed" });
  await row.getByText("renamed").waitFor();
  await arame.ask("PUT", `images/${id}`, { is_public: true }, arame.admin);
  await row.getByText("全アカウント").waitFor();
  await arame.ask("DELETE", `images/${id}`);
  await row.waitFor({ state: "detached" });
  assert.deepEqual(complaints, []);
});

test("a move's work frightens nobody: its jobs do not say that the machine is deleted", async () => {
  const { page, complaints } = tenant;
  const { host_node: from } = await arame.ask("GET", `instances/${machine}`);
  const to = from === "hn-h1" ? "hn-h2" : "hn-h1";
  await arame.ask("PUT", `instances/${machine}/move`, { host_node_id: to }, arame.admin, "a-demo");
  await until(async () => {
    const one = await arame.ask("GET", `instances/${machine}`);
    return one.host_node === to && one.state === "running";
  });
  await page.goto("/jobs");
  await page.getByLabel("対象の ID").fill(machine);
  const row = page.getByRole("row", { name: /hva\.instance\.delete/ }).first();
  await row.getByText("ホスト上の後片付けをする").waitFor();
  await page.screenshot({ path: `${OUTPUT}jobs-of-a-move.png`, fullPage: true });
  assert.equal(await page.getByText("マシンを削除する").count(), 0);
  assert.deepEqual(complaints, []);
});

test("a node that never joined is said to be so, and is not told as heard at no time", async () => {
  const { page, complaints } = operator;
  await arame.ask("POST", "host_nodes", { id: "hn-new", node_id: "hva.new" }, arame.admin);
  await page.goto("/hosts");
  await page.getByRole("row", { name: /hn-new/ }).getByText("まだ一度も連絡がありません").waitFor();
  await page.getByRole("row", { name: /hn-h1/ }).getByText("応答中").waitFor();
  await assert.rejects(arame.ask("GET", "host_nodes/hn-new/usage", undefined, arame.admin), /never_heard/);
  await arame.ask("DELETE", "host_nodes/hn-new", undefined, arame.admin);
  assert.deepEqual(complaints, []);
});

test("a naming service gives its networks away and takes them again, and a network tells who serves it", async () => {
  const { page, complaints } = operator;
  await page.goto("/naming");
  const row = page.getByRole("row", { name: /nsa\.n1/ });
  await row.getByRole("link", { name: "demo1" }).waitFor();
  await page.screenshot({ path: `${OUTPUT}naming.png`, fullPage: true });
  assert.deepEqual(await axe(page), []);
  const enabled = async () => (await arame.ask("GET", "naming_nodes/nsa.n1", undefined, arame.admin)).scheduling_enabled;
  await row.getByRole("button", { name: "受け持ちを外す" }).click();
  await row.getByRole("button", { name: "受け持ちを再開" }).waitFor();
  assert.equal(await enabled(), false);
  await row.getByRole("button", { name: "受け持ちを再開" }).click();
  await row.getByRole("button", { name: "受け持ちを外す" }).waitFor();
  assert.equal(await enabled(), true);
  await row.getByRole("link", { name: "demo1" }).click();
  const services = page.getByRole("table", { name: "応答するネーミングサービス" });
  await services.getByRole("row", { name: /nsa\.n1/ }).getByText("応答中").waitFor();
  await page.screenshot({ path: `${OUTPUT}network-served.png`, fullPage: true });
  assert.deepEqual(complaints, []);
});

test("a lost host is declared so after its plan was seen, and what it held is proved to be free; a host that is heard is not", async () => {
  const { page } = operator;
  const volume = (await arame.ask("POST", "volumes", { display_name: "held", volume_size: 64 })).id;
  const is = (state) => until(async () => (await arame.ask("GET", `volumes/${volume}`)).state === state);
  await is("available");
  await arame.ask("PUT", `volumes/${volume}/attach`, { instance_id: machine });
  await is("attached");
  const { host_node: host } = await arame.ask("GET", `instances/${machine}`);
  await page.goto(`/hosts/${host}`);
  const open = () => page.locator("main").getByRole("button", { name: "失われたと宣言" }).first().click();
  const dialog = page.getByRole("dialog");
  await open();
  await dialog.getByRole("alert").getByText("対処").waitFor();
  assert.equal(await dialog.getByLabel(/ホストの ID/).count(), 0, "it is heard: nothing is offered");
  await page.screenshot({ path: `${OUTPUT}loss-heard.png` });
  await page.keyboard.press("Escape");
  const pid = await arame.pid(host.replace("hn-", "hva."));
  process.kill(pid, "SIGSTOP");
  try {
    await page.locator(".head").getByText("応答なし").waitFor({ timeout: SILENCE_MS });
    await open();
    await dialog.getByRole("row", { name: /web1/ }).getByText("ディスクとともに失われます").waitFor();
    await dialog.getByRole("row", { name: new RegExp(volume) }).getByText("証明されたら空きます").waitFor();
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: `${OUTPUT}loss-plan.png` });
    const declare = dialog.getByRole("button", { name: "失われたと宣言" });
    await dialog.getByLabel(/ホストの ID/).fill("hn-another");
    assert.ok(await declare.isDisabled(), "another id is no word about this one");
    assert.equal((await arame.ask("GET", `host_nodes/${host}`, undefined, arame.admin)).status, "offline", "the plan did nothing");
    await dialog.getByLabel(/ホストの ID/).fill(host);
    await declare.click();
    await page.locator(".head").getByText("消失").waitFor();
    await page.getByText(/からの経路を断ちました/).waitFor();
    await page.getByText("証明を待っているボリュームはありません").waitFor();
    await page.screenshot({ path: `${OUTPUT}loss-proved.png`, fullPage: true });
    assert.deepEqual(await axe(page), []);
    await is("available");
    // What failed is still there to be seen, here and in its owner's list, which shows everything but what was deleted.
    await page.getByRole("table", { name: "インスタンス" }).getByRole("row", { name: /web1/ }).getByText("失敗").waitFor();
    await tenant.page.goto("/instances");
    await tenant.page.getByRole("row", { name: /web1/ }).getByText("失敗").waitFor();
  } finally {
    process.kill(pid, "SIGCONT");
  }
  // It gave up what it had, and takes nothing new before somebody says so.
  await page.locator(".head").getByText("応答中").waitFor({ timeout: SILENCE_MS });
  await page.locator(".head").getByText("配置停止中").waitFor();
  operator.complaints.length = 0;
});

for (const way of WAYS.slice(1)) {
  test(`a host's loss and the naming services in ${way.name}: nothing wider than the window, nothing serious for axe`, async () => {
    const { page, complaints, close } = await visitor(chromium, arame.url, arame.admin, way);
    for (const path of ["/hosts/hn-h1", "/naming", "/networks/nw-demo1"]) {
      await page.goto(path);
      await page.locator("main h1").first().waitFor();
      await page.waitForFunction(() => !document.querySelector("main .loading"));
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wider <= 0, `${path} is ${wider} px wider than the window`);
      assert.deepEqual(await axe(page), []);
      await page.screenshot({ path: `${OUTPUT}${way.name}${path.replaceAll("/", "_")}-loss.png`, fullPage: true });
    }
    assert.deepEqual(complaints, []);
    await close();
  });
}
