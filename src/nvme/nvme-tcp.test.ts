import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { DeviceInspection } from "../mount/inspect.ts";
import { countUninspectable } from "../mount/process-access.ts";
import type { DataPath, Target } from "../node/data-path.ts";
import type { Command, ExecResult } from "../node/exec.ts";
import { createNodeSystem, type NodeSystem } from "../node/system.ts";
import { silentLogger } from "../observability/log.ts";
import { createConnectQueue } from "./connect-queue.ts";
import { createNvmeTcpDataPath } from "./nvme-tcp.ts";
import { FakeSysfs } from "./sysfs.fixture.ts";

const PREFIX = "nqn.2000-02.com.mikrotik";
const SLOT = "csi-0123456789abcdef0123456789ab";
const NQN = `${PREFIX}:${SLOT}.3`;
const HOST = "nqn.2014-08.org.nvmexpress:uuid:11111111-1111-4111-8111-111111111111";
const TARGET: Target = {
  nqn: NQN,
  address: "192.0.2.9",
  port: 4420,
  hostNqn: HOST,
  hostId: "11111111-1111-4111-8111-111111111111",
  ctrlLossTmo: -1,
  reconnectDelay: 2,
  keepAliveTmo: 5,
  fastIoFailTmo: -1,
  nrIoQueues: 0,
  queueSize: 0,
};
const OK: ExecResult = { code: 0, stdout: "", stderr: "", truncated: false };

let sysfs: FakeSysfs;
let commands: Command[];
let logged: string[];
let answer: (command: Command) => ExecResult;
/** What the helper process finds on the device. */
let inspection: DeviceInspection;
/** Runs whenever the code sleeps: what happens in the kernel meanwhile. */
let meanwhile: (round: number) => void;
/** Polls so far. */
let rounds: number;
let system: NodeSystem;
let dataPath: DataPath;
let procRoot: string;
let outcomes: string[];

beforeEach(() => {
  sysfs = new FakeSysfs(NQN, HOST);
  commands = [];
  logged = [];
  outcomes = [];
  answer = () => {
    throw new Error("no command was expected");
  };
  inspection = { exclusive: "free", detail: "", processes: { uses: [], unreadable: 0 } };
  meanwhile = () => {};
  procRoot = mkdtempSync(join(tmpdir(), "rds-csi-proc-"));
  mkdirSync(join(procRoot, "self"));
  writeFileSync(join(procRoot, "self/mountinfo"), "");
  let now = 0;
  rounds = 0;
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      now += ms;
      rounds += 1;
      meanwhile(rounds);
    },
  };
  const log = (message: string, fields: object = {}) => logged.push(`${message} ${JSON.stringify(fields)}`);
  system = createNodeSystem({
    sysRoot: sysfs.root,
    procRoot,
    clock,
    logger: { ...silentLogger, info: log, warn: log },
    helper: {
      lookForData: () => Promise.reject(new Error("unused")),
      ext4State: () => Promise.reject(new Error("unused")),
      inspect: async () => inspection,
    },
    exec: async (command) => {
      // Nobody is found by fuser: exit code 1.
      if (command.program === "fuser") return { ...OK, code: 1 };
      commands.push(command);
      return answer(command);
    },
  });
  dataPath = createNvmeTcpDataPath(system, {
    nqnPrefix: PREFIX,
    onConnect: (outcome) => outcomes.push(outcome),
  });
});
afterEach(() => {
  sysfs.cleanUp();
  rmSync(procRoot, { recursive: true });
});

/** The commands of nvme-cli that were run, without the parameters of connect. */
const ran = (): string[] =>
  commands.map(({ args }) =>
    args.filter((arg, at) => at === 0 || /^(--nqn|--traddr|\/dev)/.test(arg)).join(" "),
  );
const CONNECT = `connect --traddr=192.0.2.9 --nqn=${NQN}`;

describe("NQN to device", () => {
  test("multipath: the device of the subsystem, not the hidden path", async () => {
    expect(await dataPath.find(NQN)).toEqual({
      nqn: NQN,
      name: "nvme0n1",
      path: "/dev/nvme0n1",
      number: "259:1",
      sizeBytes: 314_572_800n,
      readOnly: false,
    });
    expect(await dataPath.list()).toMatchObject([
      { nqn: NQN, slot: SLOT, epoch: 3, state: "live", device: { name: "nvme0n1" } },
    ]);
  });

  test("no multipath: the device of the controller", async () => {
    sysfs.withoutMultipath();
    expect(await dataPath.find(NQN)).toMatchObject({ path: "/dev/nvme0n1", number: "259:1" });
  });

  test("after a reconnect beside a stale mount the names have other numbers", async () => {
    sysfs.rebornAsN2();
    expect(await dataPath.find(NQN)).toMatchObject({ name: "nvme0n2" });
  });

  test("only the exact NQN counts", async () => {
    for (const other of [`${PREFIX}:${SLOT}`, `${PREFIX}:${SLOT}.33`, `${PREFIX}:${SLOT}.4`]) {
      expect(await dataPath.find(other)).toBeUndefined();
    }
  });

  test("a subsystem that only a stale mount keeps is absent; one with a controller and no device is unknown", async () => {
    sysfs.loseDevice();
    sysfs.state = "connecting";
    await expect(dataPath.find(NQN)).rejects.toMatchObject({ id: "deviceNotReady" });
    expect(await dataPath.list()).toMatchObject([{ nqn: NQN, state: "connecting", device: undefined }]);
    sysfs.lose();
    expect(await dataPath.find(NQN)).toBeUndefined();
    expect(await dataPath.list()).toEqual([]);
  });

  test("no NVMe class in sysfs is absent; no sysfs is unknown", async () => {
    rmSync(join(sysfs.root, "class/nvme"), { recursive: true });
    rmSync(join(sysfs.root, "class/nvme-subsystem"), { recursive: true });
    expect(await dataPath.find(NQN)).toBeUndefined();
    rmSync(join(sysfs.root, "class"), { recursive: true });
    await expect(dataPath.find(NQN)).rejects.toMatchObject({ id: "nodeStateUnknown" });
  });

  test("several devices are refused, not chosen from", async () => {
    sysfs.addDevice("nvme0n7");
    await expect(dataPath.find(NQN)).rejects.toMatchObject({ id: "deviceAmbiguous" });
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "deviceAmbiguous" });
    await expect(dataPath.disconnect(NQN)).rejects.toMatchObject({ id: "deviceAmbiguous" });
    expect(await dataPath.list()).toHaveLength(2);
    expect(commands).toEqual([]);
  });

  test("what is not ours is neither listed nor touched", async () => {
    for (const nqn of [
      `${PREFIX}:system-disk`,
      `nqn.2019-01.com.example:${SLOT}`,
      `${PREFIX}:${SLOT}.0`,
      `${PREFIX}x:${SLOT}`,
    ]) {
      sysfs.rename(nqn, HOST);
      expect(await dataPath.list()).toEqual([]);
      for (const call of [
        dataPath.find(nqn),
        dataPath.disconnect(nqn),
        dataPath.connect({ ...TARGET, nqn }),
      ]) {
        await expect(call).rejects.toMatchObject({ id: "nqnForeign" });
      }
    }
    expect(commands).toEqual([]);
  });
});

describe("connect", () => {
  test("live: used as it is", async () => {
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(commands).toEqual([]);
  });

  test("connecting: waits, does not connect twice", async () => {
    sysfs.state = "connecting";
    meanwhile = (round) => {
      if (round === 5) sysfs.state = "live";
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(commands).toEqual([]);
  });

  test("connecting for ever: UNAVAILABLE with the state", async () => {
    sysfs.state = "resetting";
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "deviceNotReady",
      message: expect.stringContaining("40 s (nvme0 resetting at 192.0.2.9:4420)"),
    });
  });

  test("live for another host: refused", async () => {
    sysfs.rename(NQN, HOST.replaceAll("1111", "2222"));
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "connectedAsOtherHost" });
  });

  test("absent: connects with every parameter explicit, waits for the device", async () => {
    const fresh = sysfs;
    fresh.rename("nqn.2019-01.com.example:other", HOST);
    answer = () => {
      meanwhile = (round) => {
        if (round === 2) fresh.rename(NQN, HOST);
      };
      return OK;
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(commands.map(({ program, args }) => [program, ...args])).toEqual([
      [
        "nvme",
        "connect",
        "--transport=tcp",
        "--traddr=192.0.2.9",
        "--trsvcid=4420",
        `--nqn=${NQN}`,
        `--hostnqn=${HOST}`,
        "--hostid=11111111-1111-4111-8111-111111111111",
        "--ctrl-loss-tmo=-1",
        "--reconnect-delay=2",
        "--keep-alive-tmo=5",
      ],
    ]);
  });

  test("somebody else connects in the same moment: already connected means look again", async () => {
    sysfs.rename("nqn.2019-01.com.example:other", HOST);
    answer = () => {
      sysfs.rename(NQN, HOST);
      return { ...OK, code: 1, stderr: "already connected\n" };
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(commands).toHaveLength(1);
  });

  test("queue settings are passed on only when they are set", async () => {
    sysfs.rename("nqn.2019-01.com.example:other", HOST);
    answer = () => {
      sysfs.rename(NQN, HOST);
      return OK;
    };
    await dataPath.connect({ ...TARGET, nrIoQueues: 2, queueSize: 64 });
    expect(commands[0]?.args.slice(-2)).toEqual(["--nr-io-queues=2", "--queue-size=64"]);
    expect(outcomes).toEqual(["ok"]);
  });

  test("already connected three times, and nothing in sysfs: UNAVAILABLE, no endless loop", async () => {
    sysfs.rename("nqn.2019-01.com.example:other", HOST);
    answer = () => ({ ...OK, code: 1, stderr: "already connected\n" });
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "deviceNotReady",
      message: expect.stringContaining("(no controller)"),
    });
    expect(ran()).toEqual([CONNECT, CONNECT, CONNECT]);
    expect(outcomes).toEqual(["existing", "existing", "existing"]);
  });

  test("a refused connect is counted as failed, and its place is free again", async () => {
    sysfs.rename("nqn.2019-01.com.example:other", HOST);
    const queue = createConnectQueue({ limit: 1, clock: system.clock });
    const options = {
      nqnPrefix: PREFIX,
      connectQueue: queue,
      onConnect: (outcome: string) => outcomes.push(outcome),
    };
    const path = createNvmeTcpDataPath(system, options);
    answer = () => ({ ...OK, code: 1, stderr: "Failed to write to /dev/nvme-fabrics: Connection refused\n" });
    await expect(path.connect(TARGET)).rejects.toMatchObject({ id: "connectRefused" });
    answer = () => {
      throw failure("deadlineExceeded", { what: "`nvme connect`", seconds: 30 });
    };
    await expect(path.connect(TARGET)).rejects.toMatchObject({ id: "deadlineExceeded" });
    expect(outcomes).toEqual(["failed", "failed"]);
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  test("an aborted wait ends with the reason", async () => {
    sysfs.state = "connecting";
    const controller = new AbortController();
    const reason = failure("shuttingDown", {});
    meanwhile = () => controller.abort(reason);
    await expect(dataPath.connect(TARGET, controller.signal)).rejects.toBe(reason);
  });
});

describe("an existing connection", () => {
  const ELSEWHERE = "traddr=192.0.2.8,trsvcid=4420,src_addr=192.0.2.7";
  /** disconnect removes it; connect brings it back at the right address. */
  const obey = ({ args }: Command): ExecResult => {
    if (args[0] === "disconnect") sysfs.lose();
    return OK;
  };

  test.each([
    ["192.0.2.9", "traddr=192.0.2.9,trsvcid=4420,host_traddr=192.0.2.7,src_addr=192.0.2.7"],
    ["2001:db8::9", "traddr=2001:DB8:0:0::9,trsvcid=4420,src_addr=2001:db8::7"],
    ["192.0.2.9", "traddr=::ffff:192.0.2.9,trsvcid=4420"],
  ])("to %s as %s: the right address, however it is spelled", async (address, attribute) => {
    sysfs.address = attribute;
    expect(await dataPath.connect({ ...TARGET, address })).toMatchObject({ name: "nvme0n1" });
    expect(commands).toEqual([]);
  });

  test.each([
    ["another address", ELSEWHERE, "192.0.2.8:4420"],
    ["another port", "traddr=192.0.2.9,trsvcid=4421,src_addr=192.0.2.7", "192.0.2.9:4421"],
    ["another address, lost", "traddr=2001:db8::8,trsvcid=4420", "[2001:db8::8]:4420"],
  ])("to %s, unused: disconnected, then connected anew", async (title, attribute, shown) => {
    sysfs.address = attribute;
    if (title.endsWith("lost")) sysfs.state = "connecting";
    answer = (command) => {
      if (command.args[0] === "disconnect") sysfs.rename("nqn.2019-01.com.example:gone", HOST);
      else {
        sysfs.rename(NQN, HOST);
        sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
        sysfs.state = "live";
      }
      return OK;
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
    expect(logged.join()).toContain(shown);
  });

  test("to another address, used: refused, naming both addresses and the users; nothing is disconnected", async () => {
    sysfs.address = ELSEWHERE;
    const uses = [{ pid: 4711, command: "qemu-kvm", parent: 1, how: "fd 7" }];
    inspection = { exclusive: "busy", detail: "", processes: { uses, unreadable: 0 } };
    writeFileSync(
      join(procRoot, "self/mountinfo"),
      "36 35 259:1 / /var/lib/kubelet/x rw - ext4 /dev/nvme0n1 rw\n",
    );
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "connectedElsewhere",
      code: 9,
      message: expect.stringContaining(
        `${NQN} is connected to 192.0.2.8:4420 instead of 192.0.2.9:4420, and cannot be moved: mounted at /var/lib/kubelet/x; process 4711 (qemu-kvm, fd 7)`,
      ),
    });
    expect(commands).toEqual([]);
  });

  test("to another address, and its users cannot be known: nothing is disconnected", async () => {
    sysfs.address = ELSEWHERE;
    inspection = { exclusive: "free", detail: "", processes: { uses: [], unreadable: 3 } };
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "nodeStateUnknown" });
    inspection = { exclusive: "error", detail: "EIO", processes: { uses: [], unreadable: 0 } };
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "nodeStateUnknown" });
    expect(commands).toEqual([]);
  });

  test("to another address, and it does not go: not connected beside it", async () => {
    sysfs.address = ELSEWHERE;
    answer = () => OK;
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "disconnectNotProven" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`]);
  });

  test("to another address, again after it was moved: given up", async () => {
    sysfs.address = ELSEWHERE;
    answer = (command) => {
      sysfs.rename(command.args[0] === "disconnect" ? "nqn.2019-01.com.example:gone" : NQN, HOST);
      return OK;
    };
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "connectedElsewhere" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
  });

  test("over another transport is another address", async () => {
    sysfs.set("transport", "rdma");
    inspection = {
      ...inspection,
      processes: { uses: [{ pid: 1, command: "x", parent: 0, how: "fd 1" }], unreadable: 0 },
    };
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "connectedElsewhere",
      message: expect.stringContaining("192.0.2.9:4420 (rdma)"),
    });
  });

  test("whose address cannot be read is looked at again", async () => {
    sysfs.address = "";
    meanwhile = (round) => {
      if (round === 3) sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(commands).toEqual([]);
  });

  test("for the same host NQN with another host ID: refused", async () => {
    sysfs.set("hostid", "33333333-3333-4333-8333-333333333333");
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "connectedAsOtherHost",
      code: 9,
      message: expect.stringContaining("(host ID 33333333-3333-4333-8333-333333333333) instead of"),
    });
    sysfs.set("hostid", TARGET.hostId.toUpperCase());
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
  });

  for (const state of ["deleting", "deleting (no IO)", "dead"]) {
    test(`${state}: waits until it is gone, then connects`, async () => {
      sysfs.state = state;
      answer = (command) => {
        expect(command.args[0]).toBe("connect");
        sysfs.rename(NQN, HOST);
        sysfs.state = "live";
        return OK;
      };
      meanwhile = (round) => {
        if (round === 5) sysfs.rename("nqn.2019-01.com.example:gone", HOST);
      };
      expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
      expect(ran()).toEqual([CONNECT]);
    });

    test(`${state} for ever: UNAVAILABLE with the state`, async () => {
      sysfs.state = state;
      await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
        id: "deviceNotReady",
        message: expect.stringContaining(`after 40 s (nvme0 ${state} at 192.0.2.9:4420)`),
      });
      expect(commands).toEqual([]);
    });
  }

  test("one that was made for another host and is being removed is waited for as well", async () => {
    sysfs.state = "deleting";
    sysfs.rename(NQN, HOST.replaceAll("1111", "2222"));
    meanwhile = (round) => {
      if (round === 2) sysfs.lose();
    };
    answer = obey;
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "deviceNotReady" });
    expect(ran()).toEqual([CONNECT]);
  });

  test("live without namespace: waits, scans once, takes the namespace that comes", async () => {
    sysfs.loseDevice();
    answer = () => {
      sysfs.addDevice("nvme0n1");
      return OK;
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(ran()).toEqual(["ns-rescan /dev/nvme0"]);
    expect(system.clock.monotonic()).toBe(3_100);
  });

  for (const code of [0, 1]) {
    test(`live without namespace for ever: UNAVAILABLE, one rescan (exit code ${code})`, async () => {
      sysfs.loseDevice();
      answer = () => ({ ...OK, code });
      await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
        id: "namespaceAbsent",
        code: 14,
        message: expect.stringContaining(
          "is connected (nvme0 live at 192.0.2.9:4420), but had no namespace after 10 s",
        ),
      });
      expect(ran()).toEqual(["ns-rescan /dev/nvme0"]);
    });
  }
});

describe("several controllers of one NQN", () => {
  test("multipath: one that is right and live is enough, one to another address is reported", async () => {
    sysfs.addController("nvme1", { address: "traddr=192.0.2.8,trsvcid=4420" });
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(logged).toEqual([
      `also connected to another address ${JSON.stringify({
        nqn: NQN,
        wanted: "192.0.2.9:4420",
        paths: "nvme1 live at 192.0.2.8:4420",
      })}`,
    ]);
    expect(commands).toEqual([]);
  });

  test("multipath: the right one is connecting, another one is live: waits for the right one", async () => {
    sysfs.state = "connecting";
    sysfs.addController("nvme1", { address: "traddr=192.0.2.8,trsvcid=4420", state: "live" });
    meanwhile = (round) => {
      if (round === 4) sysfs.state = "live";
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(commands).toEqual([]);
  });

  test("multipath: two right ones, one of them lost: used", async () => {
    sysfs.addController("nvme1", { state: "connecting" });
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
  });

  test("multipath: all are elsewhere and unused: all go, one comes", async () => {
    sysfs.address = "traddr=192.0.2.8,trsvcid=4420";
    sysfs.addController("nvme1", {});
    answer = (command) => {
      if (command.args[0] === "disconnect") {
        sysfs.removeController("nvme1");
        sysfs.rename("nqn.2019-01.com.example:gone", HOST);
      } else {
        sysfs.rename(NQN, HOST);
        sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
      }
      return OK;
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
  });

  test("no multipath: every path has a device of its own (recorded/no-multipath.txt): refused, not chosen from", async () => {
    sysfs.withoutMultipath();
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    sysfs.addController("nvme1", { address: "traddr=192.0.2.8,trsvcid=4420" });
    sysfs.addPathDevice("nvme1", "nvme1n1");
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "deviceAmbiguous",
      message: expect.stringContaining("/dev/nvme0n1, /dev/nvme1n1"),
    });
    expect(commands).toEqual([]);
  });

  test("no multipath: the device of one that is being removed is waited out", async () => {
    sysfs.withoutMultipath();
    sysfs.addController("nvme1", { state: "deleting" });
    sysfs.addPathDevice("nvme1", "nvme1n1");
    meanwhile = (round) => {
      if (round === 3) sysfs.removeController("nvme1");
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(system.clock.monotonic()).toBe(300);
  });

  test("no multipath: the device of a controller at another address is not taken for the right one's", async () => {
    sysfs.withoutMultipath();
    sysfs.address = "traddr=192.0.2.8,trsvcid=4420";
    sysfs.addController("nvme1", { address: "traddr=192.0.2.9,trsvcid=4420" });
    answer = () => OK;
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "namespaceAbsent" });
    expect(ran()).toEqual(["ns-rescan /dev/nvme1"]);
  });

  test("no multipath: one connection to another address is moved as well", async () => {
    sysfs.withoutMultipath();
    sysfs.address = "traddr=192.0.2.8,trsvcid=4420";
    answer = (command) => {
      sysfs.rename(command.args[0] === "disconnect" ? "nqn.2019-01.com.example:gone" : NQN, HOST);
      sysfs.address = "traddr=192.0.2.9,trsvcid=4420";
      return OK;
    };
    expect(await dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1", path: "/dev/nvme0n1" });
    expect(ran()).toEqual([`disconnect --nqn=${NQN}`, CONNECT]);
  });
});

describe("timeouts of a connection", () => {
  const times = () => ["reconnect_delay", "ctrl_loss_tmo", "fast_io_fail_tmo"].map((name) => sysfs.get(name));

  test("fast_io_fail_tmo is set after connecting: nvme-cli 2.3 has no option for it", async () => {
    sysfs.rename("nqn.2019-01.com.example:other", HOST);
    answer = () => {
      sysfs.rename(NQN, HOST);
      return OK;
    };
    await dataPath.connect({ ...TARGET, fastIoFailTmo: 30 });
    expect(times()).toEqual(["2", "off", "30"]);
    expect(commands[0]?.args.join(" ")).not.toContain("fast");
  });

  test("a connection that is used again gets what the volume wants; what is right is left", async () => {
    for (const [attribute, value] of [
      ["reconnect_delay", "10"],
      ["ctrl_loss_tmo", "600"],
      ["fast_io_fail_tmo", "5"],
    ] as const)
      sysfs.set(attribute, value);
    await dataPath.connect(TARGET);
    expect(times()).toEqual(["2", "-1", "-1"]);
    expect(logged).toHaveLength(3);
    logged = [];
    await dataPath.connect(TARGET);
    expect(logged).toEqual([]);
    await dataPath.connect({ ...TARGET, ctrlLossTmo: 60, fastIoFailTmo: 0 });
    expect(times()).toEqual(["2", "60", "0"]);
  });

  test("the kernel shows ctrl_loss_tmo in whole reconnects: 602 for 600 with a delay of 7 is right", async () => {
    const target = { ...TARGET, ctrlLossTmo: 600, reconnectDelay: 7 };
    sysfs.set("reconnect_delay", "7");
    sysfs.set("ctrl_loss_tmo", "602");
    await dataPath.connect(target);
    expect([times(), logged]).toEqual([["7", "602", "off"], []]);
    // One step off is another value.
    sysfs.set("ctrl_loss_tmo", "595");
    await dataPath.connect(target);
    expect(times()).toEqual(["7", "600", "off"]);
  });

  test("not writable, or without effect: UNAVAILABLE, naming the attribute", async () => {
    const path = join(sysfs.controller, "fast_io_fail_tmo");
    rmSync(path);
    symlinkSync("/dev/null", path);
    await expect(dataPath.connect({ ...TARGET, fastIoFailTmo: 30 })).rejects.toMatchObject({
      id: "connectionNotTuned",
      code: 14,
      message: expect.stringContaining("fast_io_fail_tmo of nvme0"),
    });
    rmSync(path);
    // Readable, but no write has an effect: as a read-only /sys.
    symlinkSync("/proc/sys/kernel/random/boot_id", path);
    await expect(dataPath.connect(TARGET)).rejects.toMatchObject({ id: "connectionNotTuned" });
  });

  test("an attribute that the kernel does not have is logged, and nothing is created in its place", async () => {
    rmSync(join(sysfs.controller, "fast_io_fail_tmo"));
    await dataPath.connect(TARGET);
    expect(logged).toEqual([]);
    await dataPath.connect({ ...TARGET, fastIoFailTmo: 30 });
    expect(logged.join()).toContain('"attribute":"fast_io_fail_tmo"');
    expect(() => sysfs.get("fast_io_fail_tmo")).toThrow("ENOENT");
  });

  test("every path of the volume is set, and no other controller", async () => {
    sysfs.addController("nvme1", {});
    sysfs.addController("nvme2", { address: "traddr=192.0.2.8,trsvcid=4420" });
    await dataPath.connect({ ...TARGET, fastIoFailTmo: 9 });
    expect(["nvme0", "nvme1", "nvme2"].map((name) => sysfs.get("fast_io_fail_tmo", name))).toEqual([
      "9",
      "9",
      "off",
    ]);
  });
});

describe("readiness", () => {
  test("processes that may not be looked into are a reason against it", async () => {
    mkdirSync(join(procRoot, "17/ns"), { recursive: true });
    symlinkSync("mnt:[4026531840]", join(procRoot, "17/ns/mnt"));
    expect((await dataPath.readinessProblems()).join()).not.toContain("looked into");
    const read = async (path: string): Promise<string> => {
      const code = path.includes("/18/") ? "EACCES" : "ENOENT";
      throw Object.assign(new Error(code), { code });
    };
    mkdirSync(join(procRoot, "18"));
    expect(await countUninspectable(procRoot, read)).toBe(1);
    expect(await countUninspectable(procRoot)).toBe(0);
  });

  test("a process that ends while it is looked at is none, though the kernel says EACCES", async () => {
    mkdirSync(join(procRoot, "18"));
    const read = async (): Promise<string> => {
      rmSync(join(procRoot, "18"), { recursive: true });
      throw Object.assign(new Error("EACCES"), { code: "EACCES" });
    };
    expect(await countUninspectable(procRoot, read)).toBe(0);
  });
});

describe("abandon", () => {
  test("the controllers that wait lose their remaining reconnects, and their end is waited for; a live one keeps them", async () => {
    sysfs.addController("nvme1", {});
    sysfs.set("state", "connecting");
    meanwhile = (round) => {
      if (round === 3) sysfs.removeController("nvme0");
    };
    await dataPath.abandon(NQN);
    expect(rounds).toBe(3);
    expect(sysfs.get("ctrl_loss_tmo", "nvme1")).toBe("off");
  });

  test("one that does not end is waited for as long as its next attempt may take", async () => {
    sysfs.set("state", "connecting");
    sysfs.set("reconnect_delay", "2");
    await dataPath.abandon(NQN);
    expect(sysfs.get("ctrl_loss_tmo")).toBe("0");
    expect(rounds).toBe(120);
  });

  test("absent is nothing to do, a foreign NQN is not touched", async () => {
    sysfs.lose();
    await dataPath.abandon(NQN);
    expect(rounds).toBe(0);
    await expect(dataPath.abandon("nqn.2019-01.com.example:x")).rejects.toMatchObject({ id: "nqnForeign" });
  });
});

describe("disconnect", () => {
  test("absent: nothing is run", async () => {
    sysfs.lose();
    await dataPath.disconnect(NQN);
    expect(commands).toEqual([]);
  });

  test("exactly this NQN, then waits until it is gone", async () => {
    answer = () => {
      meanwhile = (round) => {
        if (round === 3) sysfs.lose();
      };
      return { ...OK, stdout: `NQN:${NQN} disconnected 1 controller(s)\n` };
    };
    await dataPath.disconnect(NQN);
    expect(commands.map(({ args }) => args)).toEqual([["disconnect", `--nqn=${NQN}`]]);
  });

  test("an nvme-cli that crashes is run again, not for ever", async () => {
    const crash = {
      code: null,
      stdout: "",
      stderr: "free(): double free detected in tcache 2",
      truncated: false,
    };
    answer = () => {
      if (commands.length === 3) sysfs.lose();
      return commands.length === 3 ? OK : crash;
    };
    await dataPath.disconnect(NQN);
    expect(commands.length).toBe(3);
  });

  test("nor does a crash that comes again and again end in a loop, or count as success", async () => {
    answer = () => ({ code: null, stdout: "", stderr: "double free", truncated: false });
    await expect(dataPath.disconnect(NQN)).rejects.toMatchObject({
      id: "disconnectNotProven",
      message: expect.stringContaining("double free"),
    });
    expect(commands.length).toBe(4);
  });

  test("exit code 0 without effect is not success", async () => {
    answer = () => ({ ...OK, stdout: `NQN:${NQN} disconnected 0 controller(s)\n` });
    await expect(dataPath.disconnect(NQN)).rejects.toMatchObject({
      id: "disconnectNotProven",
      message: expect.stringContaining("nvme0"),
    });
  });
});

describe("rescan", () => {
  test("asks live controllers and returns the new size", async () => {
    const device = await dataPath.find(NQN);
    if (device === undefined) throw new Error("no device");
    answer = () => {
      meanwhile = () => {
        sysfs.sectors = 1_228_800;
      };
      return OK;
    };
    expect((await dataPath.rescan(device)).sizeBytes).toBe(629_145_600n);
    expect(commands.map(({ args }) => args)).toEqual([["ns-rescan", "/dev/nvme0"]]);
  });
});
