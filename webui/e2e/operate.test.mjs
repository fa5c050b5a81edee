// What an operator sees and decides, and what two people do at once: the load of hosts and storage nodes, findings that are adopted and
// removed, images that come, edits that meet, work that waits. Rule: what is awaited is shown by the page, never a time that passed.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { OUTPUT, WAYS, axe, browser, visitor } from "./browser.mjs";
import { center } from "./center.mjs";

/** Two readings of a machine, ten seconds apart, or a host that falls silent, on a machine that is shared. */
const FIGURES_MS = 90_000;

let arame, chromium, tenant, operator, machine;

before(async () => {
  arame = await center(2, ["--images-from", "127.0.0.1/32"]);
  chromium = await browser();
  machine = (await arame.ask("POST", "instances", launch("web1"))).id;
  tenant = await visitor(chromium, arame.url, arame.demo);
  operator = await visitor(chromium, arame.url, arame.admin);
  await tenant.page.goto(`/instances/${machine}`);
  await tenant.page.locator(".head .state.good").getByText("稼働中").waitFor();
});

after(async () => {
  await chromium?.close();
  await arame?.down();
});

function launch(name) {
  return { image_id: "wmi-tiny", instance_type: "tiny", display_name: name, hostname: name, security_groups: ["sg-default"], vifs: { eth0: { index: 0, network: "nw-demo1" } } };
}

test("how busy each host is stands in the list, its hour on its page, and of a silent one when it was heard", async () => {
  const { page, complaints } = operator;
  await page.goto("/hosts");
  const row = (host) => page.getByRole("row", { name: new RegExp(host) }).first();
  for (const name of ["CPU 使用率", "メモリー"]) await row("hn-h1").getByRole("meter", { name, exact: true }).waitFor({ timeout: FIGURES_MS });
  await page.screenshot({ path: `${OUTPUT}hosts-load.png`, fullPage: true });
  await page.goto("/hosts/hn-h1");
  await page.getByText(/負荷平均 [\d.]+・[\d.]+・[\d.]+/).waitFor();
  await page.locator(".chart canvas").nth(3).waitFor({ timeout: FIGURES_MS });
  await page.getByText("グラフの数字を表で見る").click();
  await page.getByRole("table", { name: "グラフの数字を表で見る" }).getByRole("row").nth(1).getByText("%").waitFor();
  const told = await arame.ask("GET", "host_nodes/hn-h1/usage", undefined, arame.admin);
  assert.ok(told.history.length > 0 && told.memory.bytes > told.memory.available_bytes, JSON.stringify(told));
  assert.deepEqual(complaints, []);
  const pid = await arame.pid("hva.h2");
  process.kill(pid, "SIGSTOP");
  try {
    await page.goto("/hosts");
    await row("hn-h2").getByText("応答がありません。最後の連絡:").waitFor({ timeout: FIGURES_MS });
    assert.equal(await row("hn-h2").getByRole("meter", { name: "CPU 使用率" }).count(), 0, "no number of a silent one");
    assert.equal(await row("hn-h1").getByRole("meter", { name: "CPU 使用率" }).count(), 1, "the control");
    await page.screenshot({ path: `${OUTPUT}hosts-silent.png`, fullPage: true });
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await row("hn-h2").getByRole("meter", { name: "CPU 使用率" }).waitFor({ timeout: FIGURES_MS });
  operator.complaints.length = 0;
});

test("a storage node tells its room, its load and its hour", async () => {
  const { page, complaints } = operator;
  await page.goto("/storage");
  await page.getByRole("row", { name: /sn-s1/ }).getByRole("meter", { name: "ディスク", exact: true }).waitFor({ timeout: FIGURES_MS });
  await page.getByRole("link", { name: "sn-s1" }).first().click();
  await page.locator(".chart canvas").nth(3).waitFor({ timeout: FIGURES_MS });
  await page.screenshot({ path: `${OUTPUT}storage-node.png`, fullPage: true });
  assert.deepEqual(complaints, []);
});

for (const way of WAYS) {
  test(`the load of hosts and storage in ${way.name}: nothing wider than the window, nothing serious for axe`, async () => {
    const { page, complaints, close } = await visitor(chromium, arame.url, arame.admin, way);
    for (const path of ["/hosts/hn-h1", "/storage/sn-s1"]) {
      await page.goto(path);
      await page.locator(".chart canvas").nth(3).waitFor({ timeout: FIGURES_MS });
      const wider = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(wider <= 0, `${path} is ${wider} px wider than the window`);
      assert.deepEqual(await axe(page), []);
      await page.screenshot({ path: `${OUTPUT}${way.name}${path.replaceAll("/", "_")}-charts.png`, fullPage: true });
    }
    assert.deepEqual(complaints, []);
    await close();
  });
}

test("what the records do not know is found, needs somebody, and is adopted or removed", async () => {
  const { page } = operator;
  await page.goto("/");
  await page.getByText("対応が必要なものはありません").waitFor();
  const volume = (await arame.ask("POST", "volumes", { display_name: "known", volume_size: 64 })).id;
  await tenant.page.goto(`/volumes/${volume}`);
  await tenant.page.locator(".head").getByText("利用可能").waitFor();
  const [kept, gone] = ["vol-orphan01", "vol-orphan02"];
  await arame.restart("sta.s1", async (world) => {
    const known = Object.values(world.volumes).find((one) => one.mark?.owner === volume);
    for (const owner of [kept, gone]) world.volumes[`key-of-${owner}`] = { ...known, mark: { ...known.mark, owner } };
  });
  await page.getByRole("link", { name: new RegExp(kept) }).waitFor({ timeout: FIGURES_MS });
  await page.goto("/audit");
  await page.getByRole("row", { name: new RegExp(kept) }).waitFor();
  await page.screenshot({ path: `${OUTPUT}audit-found.png`, fullPage: true });
  assert.deepEqual(await axe(page), []);
  // Whose it shall be is to be said, and where that is said.
  await page.getByRole("row", { name: new RegExp(kept) }).getByRole("button", { name: "引き取る" }).click();
  await page.getByRole("alert").getByText("右上でアカウントを 1 つ選んでください").waitFor();
  await page.getByRole("combobox", { name: "アカウント" }).selectOption("a-demo");
  await page.getByRole("row", { name: new RegExp(kept) }).getByRole("button", { name: "引き取る" }).click();
  await page.getByRole("row", { name: new RegExp(kept) }).waitFor({ state: "detached" });
  assert.equal((await arame.ask("GET", `volumes/${kept}`)).state, "available");
  await page.getByRole("row", { name: new RegExp(gone) }).getByRole("button", { name: "実体を削除" }).click();
  await page.getByRole("dialog").getByText("データごと削除しますか").waitFor();
  await page.getByRole("row", { name: new RegExp(gone) }).waitFor();
  await page.getByRole("dialog").getByRole("button", { name: "実体を削除" }).click();
  await page.getByRole("row", { name: new RegExp(gone) }).waitFor({ state: "detached" });
  await page.getByRole("button", { name: "今すぐ点検" }).click();
  await page.getByText("食い違いはありません").waitFor();
  operator.complaints.length = 0;
});

test("an image is sent with its progress, registered from an address, shared, and a wrong one says why", async () => {
  const { page } = operator;
  await page.goto("/images");
  await page.getByRole("combobox", { name: "アカウント" }).selectOption("a-demo");
  const row = (name) => page.getByRole("row", { name: new RegExp(name) });
  const dialog = page.getByRole("dialog");
  const devtools = await page.context().newCDPSession(page);
  const speed = (bytes) => devtools.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: bytes });
  await page.getByRole("button", { name: "ファイルを送る" }).click();
  await dialog.getByLabel("ファイル").setInputFiles({ name: "disk.img", mimeType: "application/octet-stream", buffer: Buffer.alloc(8 << 20, 7) });
  await dialog.getByLabel("名前").fill("sent");
  await speed(2 << 20);
  await dialog.getByRole("button", { name: "ファイルを送る" }).click();
  // Seen on its way: neither nothing nor all of it.
  await page.waitForFunction(() => {
    const part = document.querySelector("dialog[open] progress")?.value ?? 0;
    return part > 0 && part < 100;
  });
  await row("sent").getByText("利用可能").waitFor({ timeout: FIGURES_MS });
  await speed(-1);
  const served = createServer((_, answer) => answer.end(Buffer.alloc(1 << 20, 9)));
  await new Promise((resolve) => served.listen(0, "127.0.0.1", resolve));
  const register = async (name, uri) => {
    await page.getByRole("button", { name: "アドレスから登録" }).click();
    await dialog.getByLabel("アドレス (URL)").fill(uri);
    await dialog.getByLabel("名前").fill(name);
    await dialog.getByLabel("形式").selectOption("raw");
    await dialog.getByRole("button", { name: "アドレスから登録" }).click();
    await dialog.waitFor({ state: "hidden" });
  };
  await register("from-web", `http://127.0.0.1:${served.address().port}/disk.raw`);
  await row("from-web").getByText("利用可能").waitFor({ timeout: FIGURES_MS });
  served.close();
  await register("refused", "http://10.1.2.3/disk.raw");
  await row("refused").getByText("対処").waitFor({ timeout: FIGURES_MS });
  await page.screenshot({ path: `${OUTPUT}images-came.png`, fullPage: true });
  await row("sent").getByRole("button", { name: "公開する" }).click();
  await row("sent").getByText("全アカウント").waitFor();
  await row("from-web").getByText("自分のみ").waitFor();
  await tenant.page.goto("/images");
  await tenant.page.getByRole("row", { name: /sent/ }).waitFor();
  operator.complaints.length = 0;
});

test("rules that somebody else changed meanwhile are neither lost nor overwritten", async () => {
  const { page } = tenant;
  const group = await arame.ask("POST", "security_groups", { display_name: "shared", rule: "tcp:22,22,ip4:0.0.0.0/0" });
  await page.goto(`/security-groups/${group.id}`);
  await page.getByRole("tab", { name: "テキスト" }).click();
  const text = page.getByRole("textbox", { name: "テキスト" });
  // Nothing typed yet: the page follows.
  await arame.ask("PUT", `security_groups/${group.id}`, { rule: "tcp:80,80,ip4:0.0.0.0/0" });
  await page.waitForFunction(() => document.querySelector("textarea")?.value.includes("tcp:80,80"));
  await text.fill("tcp:443,443,ip4:0.0.0.0/0");
  await arame.ask("PUT", `security_groups/${group.id}`, { rule: "tcp:8080,8080,ip4:0.0.0.0/0" });
  await page.getByText("別の人がこの規則を変更しました").waitFor();
  assert.match(await text.inputValue(), /tcp:443/, "what was typed stays");
  await page.getByRole("button", { name: "保存する" }).click();
  await page.getByRole("alert").getByText("対処").waitFor();
  await page.screenshot({ path: `${OUTPUT}rules-conflict.png`, fullPage: true });
  assert.match((await arame.ask("GET", `security_groups/${group.id}`)).rule, /8080/, "the other's are still there");
  await page.getByRole("button", { name: "最新の内容を読み込む" }).click();
  assert.match(await text.inputValue(), /tcp:8080/);
  await text.fill("tcp:443,443,ip4:0.0.0.0/0");
  const saved = page.waitForResponse((answer) => answer.request().method() === "PUT");
  await page.getByRole("button", { name: "保存する" }).click();
  assert.equal((await saved).status(), 200);
  assert.match((await arame.ask("GET", `security_groups/${group.id}`)).rule, /tcp:443/, "the control: over what was seen it is saved");
  tenant.complaints.length = 0;
});

test("a form that was open while its machine was changed saves nothing until it was read anew", async () => {
  const { page } = tenant;
  await page.goto(`/instances/${machine}`);
  await page.getByRole("button", { name: "設定を変える" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("名前").fill("mine");
  await arame.ask("PUT", `instances/${machine}`, { display_name: "theirs" });
  await dialog.getByRole("button", { name: "設定を変える" }).click();
  await dialog.getByRole("alert").getByText("対処").waitFor();
  assert.equal((await arame.ask("GET", `instances/${machine}`)).display_name, "theirs");
  await dialog.getByRole("button", { name: "最新の内容を読み込む" }).click();
  await page.waitForFunction(() => document.querySelector("dialog[open] input[name=name]")?.value === "theirs");
  await dialog.getByLabel("名前").fill("mine");
  await dialog.getByRole("button", { name: "設定を変える" }).click();
  await page.getByRole("heading", { name: "mine" }).waitFor();
  tenant.complaints.length = 0;
});

test("work that waits says for whom and for what, for how long, and how long that usually takes", async () => {
  const { page } = tenant;
  // What is usual is said from three on.
  for (const name of ["a1", "a2"]) {
    const { id } = await arame.ask("POST", "instances", launch(name));
    await page.goto(`/instances/${id}`);
    await page.locator(".head .state.good").waitFor();
  }
  const hosts = await Promise.all(["hva.h1", "hva.h2"].map((name) => arame.pid(name)));
  for (const pid of hosts) process.kill(pid, "SIGSTOP");
  try {
    const { id } = await arame.ask("POST", "instances", launch("first"));
    await page.goto(`/instances/${id}`);
    // Nothing is asked of its host for it before that host knows its rules.
    await page.locator(".waiting").getByText(/ホスト hn-h\d に通信の規則が/).waitFor();
  } finally {
    for (const pid of hosts) process.kill(pid, "SIGCONT");
  }
  await page.locator(".head .state.good").getByText("稼働中").waitFor({ timeout: FIGURES_MS });
  assert.equal(await page.locator(".waiting").count(), 0);
  for (const host of ["hva.h1", "hva.h2"]) await arame.fail(host, { kind: "hva.instance.apply", point: "before_effect", action: "hang", times: 1 });
  const { id } = await arame.ask("POST", "instances", launch("waits"));
  await page.goto(`/instances/${id}`);
  await page.locator(".waiting").getByText(/hva\.h\d が「.+」を行うのを待っています/).waitFor();
  await page.locator(".waiting").getByText(/経過、ふだんは/).waitFor();
  await page.screenshot({ path: `${OUTPUT}waiting.png` });
  await page.locator(".head .state.good").getByText("稼働中").waitFor({ timeout: FIGURES_MS });
  assert.equal(await page.locator(".waiting").count(), 0);
  tenant.complaints.length = 0;
});

test("a network is drawn with its gateway, its machines and their addresses", async () => {
  const { page, complaints } = tenant;
  const { vif, display_name: name } = await arame.ask("GET", `instances/${machine}`);
  await page.goto("/networks/nw-demo1");
  const drawing = page.getByRole("group", { name: /の構成図/ });
  const box = drawing.getByRole("link", { name: new RegExp(name) });
  await box.waitFor();
  assert.match(await box.textContent(), new RegExp(vif[0].ipv4.address.replaceAll(".", "\\.")));
  await drawing.locator(".node.gateway").waitFor();
  await box.click();
  await page.getByRole("heading", { name }).waitFor();
  assert.deepEqual(complaints, []);
});

test("what was used is saved as CSV, and it is what the API tells", async () => {
  const { page, complaints } = tenant;
  await page.goto("/usage");
  await page.locator(".chart canvas").first().waitFor();
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: "CSV で保存" }).click()]);
  assert.equal(download.suggestedFilename(), "usage-a-demo.csv");
  const lines = (await readFile(await download.path(), "utf8")).trim().split(/\r?\n/);
  assert.ok(lines.length > 1 && lines[0].includes(","), lines.join("\n"));
  assert.deepEqual(complaints, []);
});

test("the way from a guest to the disk of its volume is followed, and a storage node that is silent is named", async () => {
  const { page, complaints } = operator;
  const volume = (await arame.ask("POST", "volumes", { volume_size: 64, display_name: "followed" })).id;
  await page.goto(`/volumes/${volume}`);
  await page.locator(".head").getByText("利用可能").waitFor();
  await page.getByRole("button", { name: "経路をたどる" }).click();
  await page.getByRole("status").getByText("どのインスタンスにも接続されておらず").waitFor();
  await arame.ask("PUT", `volumes/${volume}/attach`, { instance_id: machine });
  const part = (name) => page.getByRole("table", { name: "ゲストからディスクまで" }).getByRole("row", { name: new RegExp(`^${name}`) });
  await part("ゲストのディスク").getByText("読み込み").waitFor({ timeout: FIGURES_MS });
  for (const name of ["マシン", "ホスト", "iSCSI ターゲット", "ボリューム", "プール", "ストレージノード"]) await part(name).getByText("正常").waitFor();
  assert.deepEqual(await axe(page), []);
  await page.screenshot({ path: `${OUTPUT}volume-path.png`, fullPage: true });
  assert.deepEqual(complaints, []);
  const pid = await arame.pid("sta.s1");
  process.kill(pid, "SIGSTOP");
  try {
    await page.getByRole("status").getByText(/ストレージノード sn-s1.*応答がありません/).waitFor({ timeout: FIGURES_MS });
    await part("プール").getByText("不明").waitFor();
    await part("ホスト").getByText("正常").waitFor();
    await page.screenshot({ path: `${OUTPUT}volume-path-silent.png`, fullPage: true });
  } finally {
    process.kill(pid, "SIGCONT");
  }
  await part("プール").getByText("正常").waitFor({ timeout: FIGURES_MS });
  await tenant.page.goto(`/volumes/${volume}`);
  await tenant.page.locator(".head").getByText("接続済み").waitFor();
  assert.equal(await tenant.page.getByRole("button", { name: "経路をたどる" }).count(), 0, "it is not the tenant's");
  await arame.ask("PUT", `volumes/${volume}/detach`);
  complaints.length = 0;
});
