import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { FakeNode } from "../node.fixture.ts";
import type { ConnectionFacts } from "./connections.ts";
import { hungTasks } from "./hung-tasks.ts";
import { historyOf, kernelMessages, parseKernelRecord } from "./kernel-log.ts";
import { parseIpv4Routes, parseIpv6Routes, pickRoute, routeTo } from "./routes.ts";
import { mergeAddresses } from "./storage.ts";

let node: FakeNode;
beforeEach(async () => {
  node = await FakeNode.start("nqn.2000-02.com.mikrotik:csi-0123456789abcdef0123456789ab.1");
});
afterEach(() => node.close());

describe("routes", () => {
  // Recorded on Linux 6.1: default by 192.0.2.254, 192.0.2.0/24 and 198.51.100.0/25, and one that is down.
  const IPV4 = [
    "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
    "eth0\t00000000\tFE0200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0",
    "eth0\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0",
    "eth1\t006433C6\t00000000\t0001\t0\t0\t0\t80FFFFFF\t0\t0\t0",
    "eth2\t006433C6\t00000000\t0000\t0\t0\t0\tFFFFFFFF\t0\t0\t0",
    "",
  ].join("\n");

  test("the most specific one counts, and what is down does not", () => {
    const routes = parseIpv4Routes(IPV4);
    expect(routes.map(({ interface: name, prefix, gateway }) => [name, prefix, gateway])).toEqual([
      ["eth0", 0, "192.0.2.254"],
      ["eth0", 24, undefined],
      ["eth1", 25, undefined],
    ]);
    const pick = (address: string) => pickRoute(routes, address);
    expect(pick("192.0.2.9")).toMatchObject({ interface: "eth0", gateway: undefined });
    expect(pick("198.51.100.1")?.interface).toBe("eth1");
    expect(pick("198.51.100.200")).toMatchObject({ interface: "eth0", gateway: "192.0.2.254" });
    expect(pickRoute([], "192.0.2.9")).toBeUndefined();
  });

  test("of equal routes the one with the lowest metric", () => {
    const [route] = parseIpv4Routes(IPV4);
    if (route === undefined) throw new Error("no route");
    const better = { ...route, interface: "eth9", metric: 1 };
    expect(pickRoute([route, better], "203.0.113.1")?.interface).toBe("eth9");
  });

  test("IPv6", async () => {
    const line = (network: string, prefix: string, flags: string, name: string) =>
      `${network} ${prefix} ${"0".repeat(32)} 00 ${"0".repeat(32)} 00000100 00000001 00000000 ${flags}     ${name}`;
    const text = [
      line("20010db8000000000000000000000000", "20", "00000001", "eth0"),
      line("20010db8000100000000000000000000", "40", "00000001", "eth1"),
      line("00000000000000000000000000000000", "00", "00200200", "lo"),
    ].join("\n");
    expect(parseIpv6Routes(text).map(({ interface: name, prefix }) => [name, prefix])).toEqual([
      ["eth0", 32],
      ["eth1", 64],
    ]);
    node.write("proc/net/ipv6_route", text);
    expect((await routeTo(node.context(), "2001:db8:1::5")).interface).toBe("eth1");
    expect((await routeTo(node.context(), "2001:db8:2::5")).interface).toBe("eth0");
    expect((await routeTo(node.context(), "2001:dead::1")).interface).toBeUndefined();
  });

  test("garbage gives no route", () => {
    for (const text of ["", "x", "eth0 zz zz", "\n\n", "a b c d e f g h i j"]) {
      expect(parseIpv4Routes(text)).toEqual([]);
      expect(parseIpv6Routes(text)).toEqual([]);
    }
  });
});

test("storage addresses are the same however they are spelled, and remember who named them", () => {
  const merged = mergeAddresses([
    { address: "2001:db8::1", port: 4420, source: "a" },
    { address: "2001:DB8:0::1", port: 4420, source: "b" },
    { address: "192.0.2.1", port: 4420, source: "b" },
    { address: "192.0.2.1", port: 4421, source: "b" },
  ]);
  expect(merged.map(({ address, port, sources }) => [address, port, sources])).toEqual([
    ["192.0.2.1", 4420, ["b"]],
    ["192.0.2.1", 4421, ["b"]],
    ["2001:db8::1", 4420, ["a", "b"]],
  ]);
});

describe("messages of the kernel", () => {
  const message = (ageSeconds: number, text: string) => ({ ageSeconds, text });

  test("records of /dev/kmsg; other lines are passed over", async () => {
    expect(parseKernelRecord("6,1,4000000,-;nvme nvme0: a;b", 10)).toEqual(message(6, "nvme nvme0: a;b"));
    for (const line of ["", " SUBSYSTEM=nvme", "6,1,x,-;t", "no record"]) {
      expect(parseKernelRecord(line, 10)).toBeUndefined();
    }
    node.write(
      "dev/kmsg",
      `${node.kernelSays(3, "nvme nvme0: here")}${node.kernelSays(2, "usb 1-1: new device")}`,
    );
    expect(await kernelMessages(node.context())).toEqual([message(3, "nvme nvme0: here")]);
  });

  test("since when a controller is lost: the first sign after it was live", () => {
    const log = [
      message(100, "nvme nvme0: starting error recovery"),
      message(90, "nvme nvme0: Successfully reconnected (1 attempt)"),
      message(40, "nvme nvme0: failed nvme_keep_alive_end_io error=10"),
      message(30, "nvme nvme0: Reconnecting in 1 seconds..."),
      message(20, "nvme nvme01: starting error recovery"),
    ];
    expect(historyOf("nvme0", log)).toEqual({ liveSeconds: 90, lostSeconds: 40, refusal: undefined });
    expect(historyOf("nvme7", log)).toEqual({
      liveSeconds: undefined,
      lostSeconds: undefined,
      refusal: undefined,
    });
  });

  test("the last refusal counts, and none from before it was live", () => {
    const refused = 'nvme nvme0: Connect Invalid Data Parameter, subsysnqn "x"';
    const host = "nvme nvme0: Connect for subsystem x is not allowed, hostnqn: y";
    const live = 'nvme nvme0: new ctrl: NQN "x", addr 192.0.2.1:4420';
    expect(historyOf("nvme0", [message(3, host), message(2, refused)]).refusal).toBe("nqn");
    expect(historyOf("nvme0", [message(3, refused), message(2, live)]).refusal).toBeUndefined();
  });
});

describe("hung processes", () => {
  let root = "";
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "rds-hung-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const process_ = (
    pid: number,
    command: string,
    state: string,
    more: { open?: string; wchan?: string } = {},
  ) => {
    const base = `${pid}/task/${pid}`;
    put(`${base}/stat`, `${pid} (${command}) ${state} 1 1 1`);
    put(`${base}/status`, "voluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t1\n");
    put(`${base}/wchan`, more.wchan ?? "0");
    mkdirSync(join(root, base, "fd"), { recursive: true });
    if (more.open !== undefined) symlinkSync(more.open, join(root, base, "fd/3"));
  };
  const connection = (state: string): ConnectionFacts => ({
    nqn: "n",
    volume: { slot: "csi-a", epoch: 1 },
    controllers: [
      {
        ...{ name: "nvme0", nqn: "n", state, transport: "tcp", address: "", hostNqn: "", hostId: "" },
        endpoint: undefined,
        ctrlLossTmo: -1,
      },
    ],
    devices: [
      {
        ...{ name: "nvme0n1", path: "/dev/nvme0n1", number: "259:1", sizeBytes: 1, readOnly: false },
        model: undefined,
        wwid: undefined,
      },
    ],
    state,
  });
  const look = async (state = "connecting", between: () => void = () => {}, most?: number) => {
    const context = node.context();
    const clock = { ...context.system.clock, sleep: async () => between() };
    const system = { ...context.system, procRoot: root, clock };
    const { signal } = new AbortController();
    return await hungTasks({ ...context, system }, [connection(state)], [], signal, most);
  };

  test("by the device that they have open, by their name, and by where they wait", async () => {
    process_(10, "qemu", "D", { open: "/dev/nvme0n1", wchan: "io_schedule" });
    process_(11, "jbd2/nvme0n1-8", "D");
    process_(12, "sync", "D", { wchan: "jbd2_log_wait_commit" });
    process_(13, "jbd2/nvme0n12-8", "D");
    process_(14, "sleeper", "S", { open: "/dev/nvme0n1" });
    process_(15, "other", "D", { open: "/dev/sda", wchan: "futex_wait" });
    const found = await look();
    expect(found.map(({ pid, volume }) => [pid, volume])).toEqual([
      [10, "csi-a"],
      [11, "csi-a"],
      [12, undefined],
    ]);
    expect(found[0]).toMatchObject({ because: "has /dev/nvme0n1 open", waitsIn: "io_schedule" });
  });

  test("the descriptors of a thread that has too many are left alone; it is known by where it waits", async () => {
    process_(10, "vfork", "D", { open: "/dev/nvme0n1", wchan: "kernel_clone" });
    process_(12, "sync", "D", { open: "/dev/nvme0n1", wchan: "jbd2_log_wait_commit" });
    expect((await look()).map(({ pid, volume }) => [pid, volume])).toEqual([
      [10, "csi-a"],
      [12, "csi-a"],
    ]);
    expect((await look("connecting", undefined, 0)).map(({ pid, volume }) => [pid, volume])).toEqual([
      [12, undefined],
    ]);
  });

  test("one that moves does not hang, and nobody waits for us while every connection is live", async () => {
    process_(10, "qemu", "D", { open: "/dev/nvme0n1" });
    process_(12, "sync", "D", { wchan: "jbd2_log_wait_commit" });
    const moves = () =>
      put("10/task/10/status", "voluntary_ctxt_switches:\t8\nnonvoluntary_ctxt_switches:\t1\n");
    expect(await look("live", moves)).toEqual([]);
  });
});
