import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { DataPath, Target } from "../node/data-path.ts";
import type { Command, ExecResult } from "../node/exec.ts";
import { createNodeSystem } from "../node/system.ts";
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
let answer: (command: Command) => ExecResult;
/** Runs whenever the code sleeps: what happens in the kernel meanwhile. */
let meanwhile: (round: number) => void;
let dataPath: DataPath;

beforeEach(() => {
  sysfs = new FakeSysfs(NQN, HOST);
  commands = [];
  answer = () => {
    throw new Error("no command was expected");
  };
  meanwhile = () => {};
  let now = 0;
  let round = 0;
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      now += ms;
      round += 1;
      meanwhile(round);
    },
  };
  const system = createNodeSystem({
    sysRoot: sysfs.root,
    clock,
    exec: async (command) => {
      commands.push(command);
      return answer(command);
    },
  });
  dataPath = createNvmeTcpDataPath(system, { nqnPrefix: PREFIX });
});
afterEach(() => sysfs.cleanUp());

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

  test("an aborted wait ends with the reason", async () => {
    sysfs.state = "connecting";
    const controller = new AbortController();
    const reason = failure("shuttingDown", {});
    meanwhile = () => controller.abort(reason);
    await expect(dataPath.connect(TARGET, controller.signal)).rejects.toBe(reason);
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
