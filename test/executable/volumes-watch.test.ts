import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { executable, shortDirectory } from "../support/executable.ts";
import { type Followed, follow } from "../support/follow.ts";
import { BUILT_IN, FakeApiServer, KUBEVIRT } from "../support/kubernetes/fake-api-server.ts";
import { block, MIB, Mode } from "../support/rpc.ts";
import { type Stand, startStand, until } from "../support/stand.ts";

const CAPABILITY = block(Mode.MULTI_NODE_MULTI_WRITER);
/** How long the tests wait for what happens at the next look. */
const LIMIT_MS = 60_000;

let base = "";
let stand: Stand;
let standing = "";
const running: Followed[] = [];

beforeAll(async () => {
  base = await shortDirectory();
  stand = await startStand({ executable, directory: join(base, "s"), startNodes: false });
  standing = await create("standing");
}, LIMIT_MS);
afterEach(async () => {
  for (const each of running.splice(0)) await each.end("SIGKILL");
});
afterAll(async () => {
  await stand?.close();
  await rm(base, { recursive: true });
});

async function create(name: string): Promise<string> {
  const { volume } = await stand.controller.createVolume({
    name,
    capacityRange: { requiredBytes: 8n * MIB },
    volumeCapabilities: [CAPABILITY],
    parameters: { "csi.storage.k8s.io/pvc/namespace": "vms", "csi.storage.k8s.io/pvc/name": name },
  });
  return volume?.volumeId ?? "";
}

/** The flags of a watch that looks every second, the shortest pause there is. */
const watchFlags = () => ["volumes", "list", ...stand.rdsFlags, "--watch", "--interval", "1"];

/** Starts a watch and waits for its first list. */
async function watch(...args: string[]): Promise<Followed> {
  const watching = await follow(executable, [...watchFlags(), ...args], stand.directory);
  running.push(watching);
  await printed(watching, (line) => line.includes(standing));
  return watching;
}

/** Waits until a watch has printed a line that fits. */
async function printed(watching: Followed, fits: (line: string) => boolean): Promise<string> {
  await until("a line of the watch", async () => {
    if (watching.ended() !== undefined) throw new Error(`the watch ended: ${watching.stderr()}`);
    return watching.lines().some(fits);
  });
  return watching.lines().find(fits) ?? "";
}

const latest = async (): Promise<number> => (await stand.control.commands()).at(-1)?.sequence ?? 0;

/** Waits until the latest connection, that of a watch which was just started, has got this many answers after a command. */
async function looked(count: number, after: number): Promise<void> {
  const connection = Math.max(...(await stand.control.commands()).map((each) => each.connection));
  await until(`${count} looks`, async () => {
    const sent = await stand.control.commands();
    const answered = sent.filter((each) => each.sequence > after && each.outcome !== "running");
    return answered.filter((each) => each.connection === connection).length >= count;
  });
}

test(
  "a pipe gets a line for each change, and none while nothing changes",
  async () => {
    const watching = await watch();
    const standingLine = expect.stringMatching(
      new RegExp(
        `^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ added ${standing} available 8Mi vms/standing -$`,
      ),
    );
    expect(watching.lines()).toEqual([standingLine]);
    await looked(3, await latest());
    expect(watching.lines()).toHaveLength(1);

    const id = await create("fleeting");
    expect(await printed(watching, (line) => line.includes(id))).toEndWith(
      `Z added ${id} available 8Mi vms/fleeting -`,
    );
    await stand.controller.controllerPublishVolume({
      volumeId: id,
      nodeId: "node-b",
      volumeCapability: CAPABILITY,
    });
    await printed(watching, (line) => line.endsWith(`Z changed ${id} attached 8Mi vms/fleeting node-b`));
    await stand.controller.controllerUnpublishVolume({ volumeId: id, nodeId: "node-b" });
    await printed(watching, (line) => line.endsWith(`Z changed ${id} available 8Mi vms/fleeting -`));
    await stand.controller.deleteVolume({ volumeId: id });
    await printed(watching, (line) => line.includes(` removed ${id} `));

    expect(await watching.end("SIGINT")).toBe("0");
    expect(watching.stderr()).toBe("");
    // The other volume was not mentioned again, and no escape sequence is for a terminal only.
    expect(watching.lines().filter((line) => line.includes(standing))).toEqual([standingLine]);
    expect(watching.stdout()).not.toContain("\u001b");
  },
  LIMIT_MS,
);

describe("with nobody else at the RDS", () => {
  beforeAll(async () => {
    await stand.controllerProcess.stop();
  });

  test(
    "one connection, one command each look, none of which changes anything; ended by SIGTERM",
    async () => {
      const before = await latest();
      const watching = await watch();
      await looked(5, before);
      const sent = (await stand.control.commands()).filter(
        ({ sequence, outcome }) => sequence > before && outcome !== "running",
      );
      expect(await watching.end("SIGTERM")).toBe("0");
      expect(watching.stderr()).toBe("");
      expect(new Set(sent.map(({ connection }) => connection)).size).toBe(1);
      expect(sent.map(({ outcome, mutated }) => `${outcome} ${mutated}`)).toEqual(sent.map(() => "ok false"));
      const [version, ...looks] = sent;
      expect(version?.line).toContain("/system/resource");
      // Each line has a mark of its own, by which its answer is known.
      expect(new Set(looks.map(({ line }) => line.replaceAll(/\b[0-9a-f]{16}\b/g, ""))).size).toBe(1);
      expect(looks[0]?.line).toContain("/disk");
      // The pause of a second lies between any two commands, so that no look has two.
      const pauses = looks
        .slice(1)
        .map(({ startedAt }, index) => startedAt - (looks[index]?.finishedAt ?? 0));
      expect(Math.min(...pauses)).toBeGreaterThan(950);
      await until("the connection is closed", async () => (await stand.control.stats()).connections === 0);
    },
    LIMIT_MS,
  );

  test(
    "SIGINT and SIGTERM end a look that hangs",
    async () => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) {
        const watching = await watch();
        const before = await latest();
        await stand.control.fault({ kind: "hang", line: "/disk" });
        await stand.control.untilSent(/\/disk/, before);
        await until("the look hangs", async () => (await stand.control.stats()).running === 1);
        expect(await watching.end(signal)).toBe("0");
        expect(watching.lines()).toHaveLength(1);
        await stand.control.clearFaults();
      }
    },
    LIMIT_MS,
  );

  test(
    "JSON: an object a line, since when the RDS was away, and what it has after it is back",
    async () => {
      interface Line {
        readonly change: string;
        readonly time: string;
        readonly side?: string;
        readonly since?: string;
        readonly reason?: string;
        readonly volume?: { readonly handle: string; readonly csiName: string };
      }
      const watching = await watch("-o", "json", "--timeout", "4");
      const objects = (): Line[] => watching.lines().map((line) => JSON.parse(line));
      const started = Date.now();
      await stand.simulator.stop();
      await printed(watching, (line) => JSON.parse(line).change === "lost");
      const lostAt = Date.now();

      // Something else that takes connections and closes them shows that it keeps trying.
      let attempts = 0;
      const [host, port] = (stand.rdsFlags[1] ?? "").split(":");
      const closing = createServer((socket) => {
        attempts += 1;
        socket.destroy();
      });
      closing.listen(Number(port), host);
      await once(closing, "listening");
      await until("it tries again and again", async () => attempts >= 3);
      closing.close();
      await once(closing, "close");

      const simulator = await stand.startSimulator();
      await printed(watching, (line) => JSON.parse(line).change === "back");
      const controller = await stand.startController();
      const id = await create("after");
      await printed(watching, (line) => JSON.parse(line).volume?.handle === id);
      expect(await watching.end("SIGTERM")).toBe("0");
      expect(watching.stderr()).toBe("");

      const lines = objects();
      for (const line of lines) {
        expect(line).toMatchObject({ apiVersion: "rds-csi/v1", kind: "VolumeWatch" });
        expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
      }
      // Neither was the volume taken for removed, nor was it told anew.
      expect(lines.map(({ change, side, volume }) => `${change} ${side ?? volume?.csiName}`)).toEqual([
        "added standing",
        "lost RDS",
        "back RDS",
        "added after",
      ]);
      const [, lost, back] = lines;
      const since = Date.parse(lost?.since ?? "");
      expect(since).toBeGreaterThan(started - 1_000);
      expect(since).toBeLessThanOrEqual(lostAt);
      expect(lost?.reason).toMatch(/^the RDS at 127\.0\.0\.1:\d+ is not reachable over SSH: ./);
      expect([back?.since, Date.parse(back?.time ?? "") >= since]).toEqual([lost?.since, true]);
      expect(simulator.ended()).toBeUndefined();
      expect(controller.ended()).toBeUndefined();
    },
    LIMIT_MS,
  );
});

test(
  "Kubernetes: a VolumeAttachment without attachment is a problem of the volume",
  async () => {
    const api = await FakeApiServer.start({ resources: [...BUILT_IN, ...KUBEVIRT] });
    try {
      const kubeconfig = await api.writeKubeconfig(join(base, "kubeconfig"));
      api.apply({
        apiVersion: "v1",
        kind: "PersistentVolume",
        metadata: { name: "standing" },
        spec: {
          csi: { driver: "rds.csi.srvlab.io", volumeHandle: standing },
          accessModes: ["ReadWriteMany"],
          volumeMode: "Block",
        },
        status: { phase: "Bound" },
      });
      api.apply({ apiVersion: "v1", kind: "Node", metadata: { name: "node-a" } });
      const watching = await watch(
        ...["--orchestrator", "kubernetes", "--kubeconfig", kubeconfig],
        // The controller of this stand has no orchestrator.
        ...["--cluster-id", "default"],
      );
      api.apply({
        apiVersion: "storage.k8s.io/v1",
        kind: "VolumeAttachment",
        metadata: { name: "csi-1" },
        spec: {
          attacher: "rds.csi.srvlab.io",
          nodeName: "node-a",
          source: { persistentVolumeName: "standing" },
        },
        status: { attached: true },
      });
      await printed(watching, (line) =>
        line.endsWith(
          " - problems: Node node-a has a VolumeAttachment, but the volume is not attached to it according to the record",
        ),
      );
      const publish = { volumeId: standing, nodeId: "node-a", volumeCapability: CAPABILITY };
      await stand.controller.controllerPublishVolume(publish);
      await printed(watching, (line) =>
        line.endsWith(` changed ${standing} attached 8Mi vms/standing node-a`),
      );
      expect(await watching.end("SIGTERM")).toBe("0");
    } finally {
      await api.stop();
    }
  },
  LIMIT_MS,
);

test("wrong usage: exit 2 with the reason, and nothing is asked", async () => {
  let asked = 0;
  const listener = createServer((socket) => {
    asked += 1;
    socket.destroy();
  }).listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as AddressInfo;
  const address = ["--rds-address", `127.0.0.1:${port}`];
  try {
    for (const [args, reason] of [
      [["-o", "yaml"], "--watch has the forms table, wide and json"],
      [["--fail-on-problems"], "'--watch' cannot be used with option '--fail-on-problems'"],
      [["--interval", "0"], "Expected: a whole number of seconds from 1 to 3600"],
    ] as const) {
      // Not to its end by itself: one that is not refused has none.
      const refused = await follow(executable, [...watchFlags(), ...address, ...args], stand.directory);
      running.push(refused);
      await until("it is refused", async () => refused.ended() !== undefined);
      expect([refused.ended(), refused.stdout()]).toEqual(["2", ""]);
      expect(refused.stderr()).toContain(reason);
    }
  } finally {
    listener.close();
  }
  expect(asked).toBe(0);
});
