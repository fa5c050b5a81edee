// A data center for the browser tests: `arame up --sim` in a folder of its own, and what is asked of it beside the browser.
// Rule: it is stopped and its folder deleted however the tests end.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const UP_LIMIT_MS = 180_000;

/** `count` ports in a row that nobody has now. */
async function freePorts(count) {
  const isFree = (port) =>
    new Promise((resolve) => {
      const server = createServer().once("error", () => resolve(false));
      server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
    });
  for (let base = 31_000 + (process.pid % 1000) * 8; base < 60_000; base += count) {
    const found = await Promise.all(Array.from({ length: count }, (_, n) => isFree(base + n)));
    if (found.every(Boolean)) return base;
  }
  throw new Error("no free ports");
}

export async function center() {
  const programs = process.env["ARAME_BIN"] ?? new URL("../../target/debug", import.meta.url).pathname;
  const arame = join(programs, "arame");
  const dir = await mkdtemp(join(tmpdir(), "arame-webui-"));
  await run("chmod", ["755", dir]);
  const base = await freePorts(5);
  const address = (port) => `127.0.0.1:${port}`;
  const down = async () => {
    await run(arame, ["down", "--dir", dir], { timeout: 120_000 }).catch((error) => console.error(String(error)));
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const ports = ["--webui", address(base), "--listen", address(base + 1), "--port-base", String(base + 2)];
    await run(arame, ["up", "--sim", "-d", "--hosts", "3", "--dir", dir, ...ports], { timeout: UP_LIMIT_MS });
  } catch (error) {
    await down();
    throw error;
  }
  const token = async (name) => (await readFile(join(dir, "tokens", name), "utf8")).trim();
  const api = `http://${address(base + 1)}/api/12.03`;
  const own = { url: `http://${address(base)}`, demo: await token("demo"), admin: await token("admin") };
  const ask = async (method, path, body, secret = own.demo, account = undefined) => {
    const headers = { Authorization: `Bearer ${secret}`, "Content-Type": "application/json" };
    if (account) headers["X-VDC-Account-UUID"] = account;
    const answer = await fetch(`${api}/${path}`, { method, headers, body: body ? JSON.stringify(body) : undefined });
    if (!answer.ok) throw new Error(`${method} ${path}: ${await answer.text()}`);
    return answer.json();
  };
  const webuiPid = async () => {
    const { stdout } = await run(arame, ["status", "--json", "--dir", dir]);
    return JSON.parse(stdout).children.find((child) => child.name === "webui").pid;
  };
  return { ...own, ask, webuiPid, down };
}
