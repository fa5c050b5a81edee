// What decides without a page: rules of groups, usage by day, draining, events, drawings, numbers.
import { describe, expect, it } from "vitest";
import { reader } from "../api/frames";
import { concerned } from "../api/live";
import type { HostNode, Instance, Job, MoveForecast, UsageInterval, UsagePoint } from "../api/types";
import { troubled } from "../pages/dashboard";
import { body } from "../pages/launch";
import { sshLine } from "../pages/instance-overview";
import { searched } from "../pages/instances";
import { rangeOf } from "../pages/networks";
import { loadOf } from "../parts/busy";
import { plan } from "../parts/draining";
import { history, late, summary } from "../parts/figures";
import { sum, timeWords } from "../parts/forecasting";
import { isGone, isMoving } from "../parts/moving";
import { parse, write } from "../parts/rules";
import { pageOf } from "../parts/thing";
import { bodyOf, fresh, time, weekdayIn, wishOf } from "../parts/schedules";
import { BOX, layout } from "../parts/topology";
import { usually, waits } from "../parts/underway";
import { days } from "../parts/usage";
import { permits } from "../session";
import { ago, bytes, duration, moment } from "../words/format";
import { say } from "../words/say";

describe("an event stream", () => {
  it("gives whole frames however the text is cut, and none for comments", () => {
    const text = ': keep\n\nid: 7\nevent: event\ndata: {"id":7}\n\nid: 8\ndata: a\ndata: b\n\n';
    for (let cut = 1; cut < text.length; cut += 1) {
      const read = reader();
      const frames = [...read(text.slice(0, cut)), ...read(text.slice(cut))];
      expect(frames).toEqual([{ id: "7", data: '{"id":7}' }, { id: "8", data: "a\nb" }]);
    }
  });

  it("of a thing concerns the lists that show it, and of an unknown thing all of them", () => {
    expect(concerned({ resource: "vol-1" })).toContain("volumes");
    expect(concerned({ resource: "vol-1" })).not.toContain("images");
    expect(concerned({ resource: "new-1" })).toEqual(expect.arrayContaining(["volumes", "images", "instances"]));
  });
});

describe("the rules of a group", () => {
  const text = "# web\ntcp:80,80,ip4:0.0.0.0/0 # all\nicmp:-1,-1,sg-abcd1234\nstrange";
  it("become rows and the same rules again, and nothing is dropped", () => {
    const parsed = parse(text);
    expect(parsed.rules.map((rule) => rule.source)).toEqual(["ip4:0.0.0.0/0", "sg-abcd1234"]);
    expect(parsed.left).toEqual(["# web", "strange"]);
    const again = write(parsed);
    for (const line of text.split("\n")) expect(again).toContain(line);
    expect(parse(again)).toEqual(parsed);
  });
});

describe("usage by day", () => {
  const one = { cpu_cores: 2, memory_size: 1024, disk_size: 2048, begun_at: "2026-11-20 22:00:00 UTC" } as UsageInterval;
  const [since, until] = [new Date("2026-11-20T00:00:00Z"), new Date("2026-11-22T00:00:00Z")];
  it("is cut at midnight and adds up to the whole", () => {
    const found = days([{ ...one, ended_at: "2026-11-21 03:00:00 UTC" }], since, until);
    expect(found.map((day) => day.core_hours)).toEqual([4, 6]);
    expect(found.reduce((sum, day) => sum + day.gib_hours, 0)).toBe(5);
  });
  it("counts what goes on until the end", () => {
    expect(days([{ ...one, ended_at: null }], since, until).map((day) => day.core_hours)).toEqual([4, 48]);
  });
});

describe("the load of a node", () => {
  const usage = { id: "hn-h1", node_id: "hva.h1", every_seconds: 10, history: [] };

  it("is told as parts of what there is, and nothing stands for what was not read", () => {
    const read = { ...usage, age_seconds: 1, cpu: { cores: 4, percent: 25 }, memory: { bytes: 1000, available_bytes: 400 }, disk: { bytes: 0, free_bytes: 0 } };
    expect(loadOf(read)).toEqual({ cpu: 0.25, memory: 0.6, disk: null });
    expect(loadOf({ ...usage, cpu: { cores: 4, percent: null } })).toEqual({ cpu: null, memory: null, disk: null });
  });
});

describe("the figures of a guest", () => {
  const point = (age_seconds: number, cpu_percent: number | null = 10): UsagePoint => ({ age_seconds, cpu_percent, memory_bytes: 1 }) as UsagePoint;
  const now = new Date("2026-11-22T10:00:00Z");
  it("are at moments that go up, and a gap stays a gap", () => {
    const past = history({ history: [point(600, 1), point(300, 2), point(240, 3), point(0.2, 4), point(0, 5)] }, now);
    const second = now.getTime() / 1000;
    expect(past.at).toEqual([second - 600, second - 599, second - 300, second - 240, second - 239, second]);
    expect(past.of("cpu_percent")).toEqual([1, null, 2, 3, null, 4]);
    expect(history({ history: [point(120), point(60), point(0)] }, now).of("cpu_percent")).toEqual([10, 10, 10]);
  });
  it("are told as old when they are, and not when a round was late", () => {
    expect([late({ age_seconds: 25, every_seconds: 10 }), late({ age_seconds: 31, every_seconds: 10 }), late({ age_seconds: null, every_seconds: 10 })]).toEqual([null, 31, null]);
  });
  it("have a newest and a highest of those that were read", () => {
    expect(summary([3, null, 9, 2, null])).toEqual({ last: 2, highest: 9 });
    expect(summary([null])).toEqual({ last: null, highest: null });
  });
});

describe("what something waits for", () => {
  const job = (id: string, state: string, took = 0, kind = "hva.instance.apply") =>
    ({ id, kind, state, attempt: 1, created_at: "2026-11-22 10:00:00 UTC", finished_at: `2026-11-22 10:00:${String(took).padStart(2, "0")} UTC` }) as Job;
  it("is its oldest job that is not answered, with what is usual of its kind", () => {
    const ended = [job("e1", "done", 2), job("e2", "done", 9), job("e3", "done", 3), job("e4", "failed", 59), job("e5", "done", 40, "sta.volume.create")];
    const wait = waits([job("3", "published"), job("2", "open"), job("1", "done")], ended);
    expect([wait?.job.id, wait?.usually]).toEqual(["2", 3]);
    expect(waits([job("1", "done")], ended)).toBeNull();
    expect(usually("sta.volume.create", ended)).toBeNull();
  });
  it("is asked of what passes by itself only", () => {
    expect(["initializing", "detaching", "migrating", "running", "available"].map(isMoving)).toEqual([true, true, true, false, false]);
    expect(["running", "shuttingdown", "terminated"].map(isGone)).toEqual([false, true, true]);
  });
});

describe("a schedule", () => {
  it("is sent with what counts of it, and read back as it was", () => {
    const wish = { ...fresh("Asia/Tokyo"), name: "nightly", time: "03:30" };
    expect(bodyOf(wish, true)).toEqual({ display_name: "nightly", makes: "backup", every: "day", hour: 3, minute: 30, time_zone: "Asia/Tokyo", ...wish.keeps });
    expect(bodyOf({ ...wish, every: "hour" }, false)).not.toHaveProperty("hour");
    expect(bodyOf({ ...wish, every: "hour" }, false)).not.toHaveProperty("makes");
    expect(bodyOf({ ...wish, every: "week", weekday: "friday" }, false)).toMatchObject({ weekday: "friday", hour: 3 });
    const told = { ...wish.keeps, display_name: "nightly", makes: "backup", every: "day", hour: 3, minute: 30, weekday: null, time_zone: "Asia/Tokyo" } as never;
    expect(wishOf(told)).toEqual(wish);
    expect(time({ hour: 3, minute: 5 })).toBe("03:05");
  });
  it("tells its weekday in the reader's language", () => {
    expect([weekdayIn("ja", "sunday"), weekdayIn("en", "saturday")]).toEqual(["日曜日", "Saturday"]);
  });
});

describe("what needs somebody", () => {
  it("is what failed, is lost or says that something is wrong, each once", () => {
    const one = (id: string, state: string, failure: unknown = null) => ({ id, state, failure }) as never;
    const failed = one("i-1", "failed");
    const found: { id: string }[] = troubled([failed], [failed, one("i-2", "running"), one("i-3", "running", { code: "guest_died" }), one("vol-1", "lost")], undefined);
    expect(found.map((thing) => thing.id)).toEqual(["i-1", "i-3", "vol-1"]);
  });
});

describe("the forecast of a move", () => {
  const of = (seconds: number | null, span: number | null, converges: boolean | null = null) =>
    ({ seconds, plus_minus_seconds: span, converges }) as MoveForecast;
  const told = (language: "ja" | "en", forecast: MoveForecast) => timeWords((key, values) => say(language, key, values), forecast);
  it("is told with its uncertainty, and what is not known as that", () => {
    expect(told("en", of(14, 4))).toBe("14 s ± 4");
    expect(told("ja", of(14, 4))).toBe("約 14 秒（±4 秒）");
    expect(told("en", of(22, null))).toBe("22 s or more");
    expect(told("en", of(null, null, false))).toBe("it would not end");
    expect(told("ja", of(null, null))).toBe("不明");
  });
  it("of several is their sum, without those that have none", () => {
    expect(sum([of(14, 4), of(3, 1), of(null, null)])).toMatchObject({ forecast: { seconds: 17, plus_minus_seconds: 5 }, without: 1 });
    expect(told("en", sum([of(14, 4), of(3, null)]).forecast)).toBe("17 s or more");
  });
});

describe("draining a host", () => {
  const host = (id: string, used: number, more: Partial<HostNode> = {}) =>
    ({ id, status: "online", scheduling_enabled: true, offering_memory_size: 100, used_memory_size: used, ...more }) as HostNode;
  const machine = (id: string, state: string, host_node: string) => ({ id, state, host_node }) as Instance;
  it("moves what runs to the emptiest first, and tells why the rest stays", () => {
    const hosts = [host("hn-1", 0), host("hn-2", 50), host("hn-3", 10), host("hn-4", 0, { status: "offline" }), host("hn-5", 0, { scheduling_enabled: false })];
    const steps = plan("hn-1", hosts, [machine("i-1", "running", "hn-1"), machine("i-2", "halted", "hn-1"), machine("i-3", "running", "hn-2")]);
    expect(steps.map((step) => [step.instance.id, step.to, step.stays])).toEqual([
      ["i-1", ["hn-3", "hn-2"], undefined],
      ["i-2", [], "not_running"],
    ]);
    expect(plan("hn-1", [host("hn-1", 0)], [machine("i-1", "running", "hn-1")])[0]?.stays).toBe("no_host");
  });
});

describe("a network's drawing", () => {
  it("lays nothing over anything, whoever is on it", () => {
    const nodes = Array.from({ length: 23 }, (_, n) => ({ id: `n${n}`, label: "x", address: "", kind: n < 7 ? ("service" as const) : ("instance" as const) }));
    const drawing = layout(nodes, 960);
    for (const one of drawing.nodes) {
      expect(one.x + BOX.width <= drawing.width && one.y + BOX.height <= drawing.height).toBe(true);
      expect(one.kind === "instance" ? one.y > drawing.line : one.y + BOX.height < drawing.line).toBe(true);
      for (const other of drawing.nodes) {
        const apart = Math.abs(one.x - other.x) >= BOX.width || Math.abs(one.y - other.y) >= BOX.height;
        expect(one === other || apart).toBe(true);
      }
    }
  });
});

describe("small decisions", () => {
  it("a launch asks for what is chosen and nothing else", () => {
    const choice = { name: "Web 1", image: "wmi-1", type: "it-1", network: "nw-1", groups: ["sg-1"], key: "", userData: "", volume: "2" };
    const wish = body(choice);
    expect(wish).not.toHaveProperty("hostname");
    expect(wish).not.toHaveProperty("ssh_key_id");
    expect(wish["volumes"]).toEqual({ "00": { volume_size: 2048 } });
    expect(body({ ...choice, name: "web1" })["hostname"]).toBe("web1");
    // As long as a host name may be, and longer.
    expect(body({ ...choice, name: "w".repeat(32) })["hostname"]).toBe("w".repeat(32));
    expect(body({ ...choice, name: "w".repeat(33) })).not.toHaveProperty("hostname");
  });
  it("a search is what was typed, without the spaces around it", () => {
    expect(searched(" web-1 ")).toEqual({ search: "web-1" });
    expect(searched("  ")).toEqual({});
  });
  it("a thing has a page by its id, and those of the data center only for operators", () => {
    expect(pageOf("i-abc", false)).toBe("/instances/i-abc");
    expect(pageOf("vol-a-b", false)).toBe("/volumes/vol-a-b");
    expect(pageOf("hn-h1", false)).toBeUndefined();
    expect(pageOf("hn-h1", true)).toBe("/hosts/hn-h1");
    for (const id of ["wmi-tiny", "tok-demo", "plain", ""]) expect([id, pageOf(id, true)]).toEqual([id, undefined]);
  });
  it("how to get in is told of a machine with a key, by its outer address where it has one", () => {
    const machine = (nat_address: string | null, key = true) =>
      ({ vif: [{ ipv4: { address: "10.0.0.5", nat_address } }], ...(key ? { ssh_key_pair: { uuid: "ssh-a" } } : {}) }) as unknown as Instance;
    expect(sshLine(machine(null), "debian")).toBe("ssh debian@10.0.0.5");
    expect(sshLine(machine("192.0.2.9"), null)).toBe("ssh 192.0.2.9");
    expect(sshLine(machine(null, false), "debian")).toBeUndefined();
    expect(sshLine({ ...machine(null), vif: [] }, "debian")).toBeUndefined();
  });
  it("a network's range is typed as one word", () => {
    expect(rangeOf(" 10.1.0.0/24")).toEqual({ network: "10.1.0.0", prefix: 24 });
    expect(rangeOf("10.1.0.0").prefix).toBe(0);
  });
  it("roles may what the API's table lets them", () => {
    const all = ["change", "inspect", "operate"] as const;
    const rights = (role: string) => all.filter((right) => permits(role, right));
    expect(rights("member")).toEqual(["change"]);
    expect(rights("auditor")).toEqual(["inspect"]);
    expect(rights("operator")).toEqual([...all]);
    expect(rights("nobody")).toEqual([]);
  });
});

describe("numbers", () => {
  it("are read and told as people do", () => {
    expect(moment("2026-11-22 10:00:00 UTC").toISOString()).toBe("2026-11-22T10:00:00.000Z");
    expect([bytes("ja", 0), bytes("ja", 1536), bytes("ja", 20 * 2 ** 30)]).toEqual(["0 B", "1.5 KiB", "20 GiB"]);
    const now = new Date("2026-11-22T10:00:00Z");
    expect(ago("ja", moment("2026-11-22 09:57:00 UTC"), now)).toBe("3 分前");
    expect(ago("en", moment("2026-11-21 09:00:00 UTC"), now)).toBe("yesterday");
    expect([duration("ja", 1.25), duration("en", 300)]).toEqual(["1.3 秒", "5 min"]);
  });
});
