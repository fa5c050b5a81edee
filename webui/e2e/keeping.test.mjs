// Schedules in both languages, what is marked to be kept, and text typed into a machine's screen. Rule: what is awaited is shown by the
// page, never a time that passed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { OUTPUT, WAYS, axe, browser, until, visitor } from "./browser.mjs";
import { center } from "./center.mjs";

let arame, chromium, tenant, machine, volume;

before(async () => {
  arame = await center(1);
  chromium = await browser();
  const wish = { image_id: "wmi-tiny", instance_type: "tiny", display_name: "web1", hostname: "web1", security_groups: ["sg-default"], vifs: { eth0: { index: 0, network: "nw-demo1" } } };
  machine = (await arame.ask("POST", "instances", wish)).id;
  volume = (await arame.ask("POST", "volumes", { display_name: "data", volume_size: 1024 })).id;
  tenant = await visitor(chromium, arame.url, arame.demo);
  await tenant.page.goto(`/instances/${machine}`);
  await tenant.page.locator(".head .state.good").getByText("稼働中").waitFor();
});

after(async () => {
  await chromium?.close();
  await arame?.down();
});

const LANGUAGES = [
  {
    way: WAYS[0],
    create: "スケジュールを作成", change: "スケジュールを変更", name: "名前", zone: "タイムゾーン", time: "時刻", daily: "1 日ごと（日）", makes: /スナップショット/, next: "次回",
    when: "毎日 03:30（Asia/Tokyo）", keeps: "7 日分", keepsMore: "14 日分", pause: "休止", paused: "休止中", resume: "再開", remove: "削除する", nothing: "スケジュールはまだありません",
    conflict: "最新の内容を読み込む", table: "スケジュール",
  },
  {
    way: WAYS[1],
    create: "New schedule", change: "Change the schedule", name: "Name", zone: "Time zone", time: "Time", daily: "Daily", makes: /Snapshots/, next: "Next",
    when: "every day at 03:30 (Asia/Tokyo)", keeps: "7 daily", keepsMore: "14 daily", pause: "Pause", paused: "Paused", resume: "Resume", remove: "Delete it", nothing: "There is no schedule yet",
    conflict: "Load what is there now", table: "Schedules",
  },
];

for (const words of LANGUAGES) {
  test(`a schedule is planned, made, changed, switched off and on, and deleted, in ${words.way.name}`, async () => {
    const { page, complaints, close } = await visitor(chromium, arame.url, arame.demo, words.way);
    await page.goto(`/volumes/${volume}`);
    await page.getByText(words.nothing).waitFor();
    await page.getByRole("button", { name: words.create }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel(words.name, { exact: true }).fill("nightly");
    await dialog.getByRole("radio", { name: words.makes }).check();
    await dialog.getByLabel(words.zone).fill("Nowhere/Town");
    // What cannot be planned says why before it is saved.
    await dialog.getByRole("alert").waitFor();
    await dialog.getByLabel(words.zone).fill("Asia/Tokyo");
    await dialog.getByLabel(words.time, { exact: true }).fill("03:30");
    for (const box of await dialog.locator(".keeps input").all()) await box.fill("0");
    await dialog.getByLabel(words.daily).fill("7");
    await dialog.locator(".planned strong").getByText(words.next).waitFor();
    await dialog.getByRole("alert").waitFor({ state: "detached" });
    assert.deepEqual((await arame.ask("GET", `volumes/${volume}/schedules`))[0].results, [], "the plan alone made nothing");
    assert.deepEqual(await axe(page), []);
    await page.screenshot({ path: `${OUTPUT}schedule-plan-${words.way.name}.png` });
    await dialog.getByRole("button", { name: words.create }).click();
    const row = page.getByRole("table", { name: words.table }).getByRole("row", { name: /nightly/ });
    await row.getByText(words.when).waitFor();
    await row.getByText(words.keeps).waitFor();
    await page.screenshot({ path: `${OUTPUT}schedules-${words.way.name}.png`, fullPage: true });
    const [{ results }] = await arame.ask("GET", `volumes/${volume}/schedules`);
    await row.getByRole("button", { name: words.change }).click();
    await dialog.getByLabel(words.daily).fill("14");
    // Somebody else was quicker: nothing is overwritten unseen.
    await arame.ask("PUT", `volumes/${volume}/schedules/${results[0].id}`, { minute: 31 });
    await dialog.getByRole("button", { name: words.change }).click();
    await dialog.getByRole("button", { name: words.conflict }).click();
    await page.waitForFunction(() => document.querySelector("dialog[open] input[type=time]")?.value === "03:31");
    await dialog.getByLabel(words.time, { exact: true }).fill("03:30");
    await dialog.getByLabel(words.daily).fill("14");
    await dialog.getByRole("button", { name: words.change }).click();
    await row.getByText(words.keepsMore).waitFor();
    await row.getByRole("button", { name: words.pause }).click();
    await row.getByRole("button", { name: words.resume }).waitFor();
    await row.getByText(words.paused).waitFor();
    assert.equal((await arame.ask("GET", `volumes/${volume}/schedules/${results[0].id}`)).enabled, false);
    await row.getByRole("button", { name: words.resume }).click();
    await row.getByRole("button", { name: words.pause }).waitFor();
    await row.getByRole("button", { name: /nightly/ }).click();
    await dialog.getByRole("button", { name: words.remove }).click();
    await page.getByText(words.nothing).waitFor();
    const unwanted = complaints.filter((text) => !/status of 4(00|12)/.test(text));
    assert.deepEqual(unwanted, []);
    await close();
  });
}

test("no word of the schedules' table is broken over two lines", async () => {
  const schedule = { every: "day", hour: 3, minute: 30, makes: "backup", time_zone: "Asia/Tokyo", keep_daily: 7, keep_weekly: 4, keep_monthly: 12, display_name: "a rather long name of a schedule" };
  const { id } = await arame.ask("POST", `volumes/${volume}/schedules`, schedule);
  const { page } = tenant;
  await page.goto(`/volumes/${volume}`);
  const word = page.getByRole("table", { name: "スケジュール" }).getByText("バックアップ", { exact: true });
  await word.waitFor();
  const lines = () => word.evaluate((element) => element.getClientRects().length);
  assert.equal(await lines(), 1);
  // The control: where it may be broken in a narrow place it is, and is seen to be.
  await word.evaluate((element) => Object.assign(element.style, { whiteSpace: "normal", display: "inline" }) && Object.assign(element.parentElement.style, { maxWidth: "3em", width: "3em", display: "block", overflowWrap: "anywhere", wordBreak: "break-all" }));
  assert.ok((await lines()) > 1);
  await arame.ask("DELETE", `volumes/${volume}/schedules/${id}`);
});

test("a snapshot and a backup are marked to be kept and let go again", async () => {
  const { page, complaints } = tenant;
  await arame.ask("POST", "volume_snapshots", { volume_id: volume, display_name: "before-upgrade" });
  await arame.ask("PUT", `volumes/${volume}/backup`, { display_name: "nightly" });
  await page.goto(`/volumes/${volume}`);
  const marked = { "before-upgrade": async () => (await arame.ask("GET", "volume_snapshots"))[0].results, nightly: async () => (await arame.ask("GET", "backup_objects"))[0].results };
  for (const [name, all] of Object.entries(marked)) {
    const row = page.getByRole("row", { name: new RegExp(name) });
    const isKept = async () => (await all()).find((one) => one.display_name === name).kept;
    await row.getByText("利用可能").waitFor();
    assert.equal(await row.getByText("保護中").count(), 0);
    await row.getByRole("button", { name: `${name} を保護する` }).click();
    await row.getByText("保護中").waitFor();
    assert.equal(await isKept(), true);
    await page.screenshot({ path: `${OUTPUT}kept-${name}.png`, fullPage: true });
    await row.getByRole("button", { name: `${name} の保護を外す` }).click();
    await row.getByText("保護中").waitFor({ state: "detached" });
    assert.equal(await isKept(), false);
  }
  assert.deepEqual(complaints, []);
});

/** Keys of QEMU's extended key event (rfbproto 7.5.8) in what a page sent: the keysym, the place, pressed or let go. */
function keysIn(frames) {
  const keys = [];
  for (const frame of frames) {
    if (typeof frame === "string" || frame.length < 12) continue;
    for (let at = 0; at + 12 <= frame.length && frame[at] === 255 && frame[at + 1] === 0; at += 12) {
      keys.push({ down: frame.readUInt16BE(at + 2) === 1, keysym: frame.readUInt32BE(at + 4), place: frame.readUInt32BE(at + 8) });
    }
  }
  return keys;
}

/** Of noVNC's table, as PC keyboards number their keys (set 1). */
const SCAN = { KeyA: 0x1e, Space: 0x39, ShiftLeft: 0x2a, BracketLeft: 0x1a, Digit2: 0x03, Digit8: 0x09, IntlRo: 0x73, Enter: 0x1c };

test("text is typed into the screen key by key in the guest's own layout; what cannot be is told and nothing is typed", async () => {
  const { page, complaints, close } = await visitor(chromium, arame.url, arame.demo);
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: arame.url });
  const frames = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => frames.push(payload)));
  await page.goto(`/instances/${machine}`);
  await page.getByRole("tab", { name: "画面", exact: true }).click();
  await page.locator(".screen-place[data-state=open] canvas").waitFor();
  await page.waitForFunction(() => (document.querySelector(".screen-place canvas")?.width ?? 0) > 0);
  const copy = (text) => page.evaluate((words) => navigator.clipboard.writeText(words), text);
  const dialog = page.getByRole("dialog");
  const paste = page.getByRole("button", { name: "貼り付け" });

  await copy("echo 荒布\n");
  await paste.click();
  await dialog.getByText("キーボードでは打てない文字があります: 荒 布").waitFor();
  assert.ok(await dialog.getByRole("button", { name: "打ち込む" }).isDisabled());
  assert.deepEqual(await axe(page), []);
  await page.screenshot({ path: `${OUTPUT}paste-refused.png` });
  await dialog.getByLabel("打ち込む文字").fill("x".repeat(1001));
  await dialog.getByText("一度に打ち込めるのは 1,000 文字までです").waitFor();
  assert.deepEqual(keysIn(frames), [], "nothing was typed");

  await dialog.getByLabel("マシンのキーボード配列").selectOption("jp");
  await dialog.getByLabel("打ち込む文字").fill("A@(\\\n");
  await dialog.getByText("5 文字（Enter キー 1 回）").waitFor();
  await page.screenshot({ path: `${OUTPUT}paste-plan.png` });
  await dialog.getByRole("button", { name: "打ち込む" }).click();
  await dialog.waitFor({ state: "hidden" });
  await paste.waitFor();
  const pressed = (keys) => keys.filter((key) => key.down).map((key) => key.place);
  const { ShiftLeft, KeyA, BracketLeft, Digit2, Digit8, IntlRo, Enter } = SCAN;
  assert.deepEqual(pressed(keysIn(frames)), [ShiftLeft, KeyA, BracketLeft, ShiftLeft, Digit8, IntlRo, Enter]);
  const down = new Set();
  for (const key of keysIn(frames)) key.down ? down.add(key.place) : down.delete(key.place);
  assert.equal(down.size, 0, "no key is left pressed");

  // The layout is remembered; what is short and of one line is typed at once. In the other layout the same character has another place.
  frames.length = 0;
  await copy("@");
  await paste.click();
  await page.waitForFunction(() => !document.querySelector("dialog[open]"));
  await until(() => keysIn(frames).length >= 2);
  assert.deepEqual(pressed(keysIn(frames)), [BracketLeft]);
  frames.length = 0;
  await copy("@\n");
  await paste.click();
  await dialog.getByLabel("マシンのキーボード配列").selectOption("us");
  await dialog.getByRole("button", { name: "打ち込む" }).click();
  await dialog.waitFor({ state: "hidden" });
  await paste.waitFor();
  assert.deepEqual(pressed(keysIn(frames)), [ShiftLeft, Digit2, Enter]);

  // A long one shows how far it is, and can be stopped.
  await copy("x".repeat(900));
  await paste.click();
  await dialog.getByRole("button", { name: "打ち込む" }).click();
  await page.getByText(/\d+ \/ 900 文字を打ち込んでいます/).waitFor();
  await page.getByRole("button", { name: "中止" }).click();
  await page.getByText(/900 文字のうち \d+ 文字で止めました/).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});

test("the screen fills the whole display, takes the keyboard there, and gives both back", async () => {
  const { page, complaints, close } = await visitor(chromium, arame.url, arame.demo);
  const frames = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => frames.push(payload)));
  await page.goto(`/instances/${machine}`);
  await page.getByRole("tab", { name: "画面", exact: true }).click();
  await page.locator(".screen-place[data-state=open] canvas").waitFor();
  const sides = () =>
    page.evaluate(() => {
      const { width, height } = document.querySelector(".screen-place canvas").getBoundingClientRect();
      return { width: width / window.innerWidth, height: height / window.innerHeight };
    });
  await page.waitForFunction(() => (document.querySelector(".screen-place canvas")?.width ?? 0) > 0);
  const before = await sides();
  assert.ok(before.width < 0.95 && before.height < 0.95, "the control: it is a part of the page");
  await page.getByRole("button", { name: "全画面" }).click();
  await page.waitForFunction(() => document.fullscreenElement?.classList.contains("screen-place"));
  // As large as it can be without being drawn out: one of its sides is the display's.
  await until(async () => {
    const { width, height } = await sides();
    return Math.abs(Math.max(width, height) - 1) < 0.02 && Math.min(width, height) <= 1.001;
  });
  await page.screenshot({ path: `${OUTPUT}screen-full.png` });
  frames.length = 0;
  await page.keyboard.press("Space");
  await until(() => keysIn(frames).some((key) => key.down && key.place === SCAN.Space));
  assert.ok(await page.evaluate(() => document.fullscreenElement !== null), "the key went to the machine and to nobody else");
  await page.evaluate(() => document.exitFullscreen());
  await page.waitForFunction(() => document.fullscreenElement === null);
  await until(async () => (await sides()).height < 0.95);
  await page.getByRole("button", { name: "全画面" }).waitFor();
  assert.deepEqual(complaints, []);
  await close();
});
