// A data center for the browser tests: `arame up --sim` in a folder of its own, and what is asked of it beside the browser.
// Rule: it is stopped and its folder deleted however the tests end.

import { execFile } from "node:child_process";
import { appendFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
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
  // Below what Linux gives to outgoing connections (ip_local_port_range): a port that is free now stays so.
  for (let base = 20_000 + (process.pid % 1000) * 8; base < 32_000; base += count) {
    const found = await Promise.all(Array.from({ length: count }, (_, n) => isFree(base + n)));
    if (found.every(Boolean)) return base;
  }
  throw new Error("no free ports");
}

/** `hosts` simulated hosts, each a process; `more` words of `arame up`. */
export async function center(hosts = 3, more = []) {
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
    await run(arame, ["up", "--sim", "-d", "--hosts", String(hosts), "--dir", dir, ...ports, ...more], { timeout: UP_LIMIT_MS });
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
  const pid = async (name) => {
    // Where a child is just down it ends with 1, and says all the same.
    const { stdout } = await run(arame, ["status", "--json", "--dir", dir]).catch((error) => error);
    const found = JSON.parse(stdout).children.find((child) => child.name === name && child.running);
    return found?.pid;
  };
  /** Lets a simulated host fail as told; it learns of it by beginning anew. */
  const fail = async (agent, fault) => {
    const lines = Object.entries(fault).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
    await appendFile(join(dir, "etc", `${agent}.toml`), `\n[[hva.sim.faults]]\n${lines.join("\n")}\n`);
    await begin(agent);
  };
  const begin = async (agent) => {
    const before = await pid(agent);
    process.kill(before, "SIGKILL");
    for (let now = before; !now || now === before; now = await pid(agent)) await new Promise((resolve) => setTimeout(resolve, 200));
  };
  /** Lets an agent find its simulated world other than it left it. It stands still meanwhile: it would write over it. */
  const restart = async (agent, change) => {
    const [file, process_id] = [join(dir, "state", agent, "world.json"), await pid(agent)];
    process.kill(process_id, "SIGSTOP");
    const world = JSON.parse(await readFile(file, "utf8"));
    await change(world);
    await writeFile(file, JSON.stringify(world));
    await begin(agent);
  };
  return { ...own, ask, pid, fail, restart, down };
}
