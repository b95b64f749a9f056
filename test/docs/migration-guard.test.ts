import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { kubernetesEvidence } from "../../src/controller/kubernetes-evidence.ts";
import { ORPHANED_AFTER_SECONDS } from "../../src/controller/migration-reporter.ts";
import { readParameters } from "../../src/controller/parameters.ts";
import { catalogue } from "../../src/domain/errors/catalogue.ts";
import { parseQuantity } from "../../src/kubernetes/quantity.ts";
import { plain, readPage, rowsBelow } from "./page.fixture.ts";
import { type Produced, produced } from "./produced.fixture.ts";
import { answer, CLAIM, reasonsOf, UNLIMITED, VOLUME, World } from "./scenarios.fixture.ts";

const page = await readPage("migration-guard.md");

describe("the refusals of docs/migration-guard.md", () => {
  let said: Produced;
  beforeAll(async () => {
    said = await produced();
  }, 240_000);

  test("the table of refusals: known errors with what the driver says, none of the attaching ones left out", () => {
    const rows = rowsBelow(page, "## Refusals").map(([id = "", message]) => ({
      id: plain(id),
      message,
    }));
    const errors = [...said.errors];
    for (const { id, message } of rows) {
      expect(Object.keys(catalogue)).toContain(id);
      expect(errors.map((error) => error.replace(/ [A-Z_]+: /, ": "))).toContain(`${id}: ${message}`);
    }
    const missing = errors.filter(
      (error) => !rows.some(({ id }) => error.startsWith(`${id} `)) && !error.startsWith("nodeNotFound "),
    );
    expect(missing).toEqual([]);
  });
});

describe("the time limit", () => {
  test("the table is what `auto` gives, and fixed values are accepted", async () => {
    const rows = rowsBelow(page, "## The time limit").map((row) => row.map(plain));
    expect(rows).not.toBeEmpty();
    for (const [memory = "", automatic = "", fixed = ""] of rows) {
      const world = await World.start({ parameters: { migrationTimeoutSeconds: "auto" } });
      try {
        world.cluster.addMachine("vm1", parseQuantity(memory));
        const found = await world.stack.rds.find(VOLUME, world.stack.signal);
        if (found?.kind !== "volume") throw new Error("no volume");
        const allowed = await kubernetesEvidence(world.cluster).allowedSeconds(
          found.volume,
          { target: "node-b", since: 0 },
          world.stack.signal,
        );
        if (allowed.kind !== "known") throw new Error(allowed.reason);
        const { seconds } = allowed;
        expect(automatic).toBe(`${seconds} s`);
        const read = () =>
          readParameters({ migrationTimeoutSeconds: String(seconds) }).settings.migrationTimeoutSeconds;
        if (fixed.startsWith("none")) expect(read).toThrow("migrationTimeoutSeconds");
        else expect(read()).toBe(Number(fixed));
      } finally {
        await world.stack.close();
      }
    }
  });

  test("the seconds after which another controller reports an end are those of the code", () => {
    expect(page).toContain(`an end after ${ORPHANED_AFTER_SECONDS} s`);
  });
});

/** What the page promises and what it warns of. Should one of these become untrue, the page must change with it. */
describe("the promises and the warnings are true", () => {
  const opened: World[] = [];
  const start = async (options?: Parameters<typeof World.start>[0]) => {
    const world = await World.start(options);
    opened.push(world);
    return world;
  };
  afterEach(async () => {
    for (const world of opened.splice(0)) await world.stack.close();
  });

  const ELSEWHERE = "no running pod uses the claim on node node-a, so nothing can be migrating from there";
  /** The second node is refused, is no migration, and gets the volume under a new NQN once the first is detached. */
  const waitsForDetach = async (world: World, before: string) => {
    const refused = await answer(world.publish("node-b"));
    expect(refused).toStartWith("holderNotDetached FAILED_PRECONDITION: ");
    expect(refused).toEndWith(ELSEWHERE);
    expect(await world.nodes()).toEqual(["node-a"]);
    await world.unpublish("node-a");
    expect((await world.publish("node-b")).nqn).not.toBe(before);
    expect(await world.nodes()).toEqual(["node-b"]);
    // Nobody is warned of a usual hand-over.
    expect(reasonsOf(world)).toEqual([]);
  };

  test("a force-deleted launcher pod lets nobody in until its node is detached", async () => {
    const world = await start();
    const { nqn } = await world.publish("node-a");
    world.cluster.pods.splice(0);
    world.cluster.addLauncher("virt-launcher-vm1-7m2xc", "vm1-started-anew", "node-b", CLAIM);
    await waitsForDetach(world, nqn);
    expect(page).toContain(ELSEWHERE);
  });

  test("a machine that starts elsewhere beside a completed source waits, and is not reported as a migration", async () => {
    const world = await start();
    const { nqn } = await world.publish("node-a");
    world.cluster.pods.splice(0);
    world.cluster.addPod("importer", "node-a", CLAIM, { phase: "Succeeded" });
    world.cluster.addLauncher("virt-launcher-vm1-7m2xc", "vm1", "node-b", CLAIM);
    await waitsForDetach(world, nqn);
  });

  test("an export that was switched off by hand is on again with the second node, under the same NQN", async () => {
    const world = await start();
    const { device } = world.stack.simulator;
    const { nqn, hostNqn } = await world.publish("node-a");
    await device.setDisk(VOLUME, { "nvme-tcp-export": false });
    expect(device.connectHost(nqn, hostNqn)).toBe(false);
    expect((await world.publish("node-b")).nqn).toBe(nqn);
    expect(device.connectHost(nqn, hostNqn)).toBe(true);
  });

  test("a migration without limit is never overdue", async () => {
    const world = await start({ parameters: { migrationTimeoutSeconds: "auto" } });
    world.cluster.config = UNLIMITED;
    await world.publish("node-a");
    await world.publish("node-b");
    world.at(1_000_000);
    await world.reconcile();
    expect(reasonsOf(world)).toEqual(["MigrationStarted"]);
  });

  test("a pod that comes later, on a node that is attached already, is not seen", async () => {
    const world = await start();
    await world.publish("node-a");
    world.cluster.addPod("backup", "node-a", CLAIM);
    expect(await answer(world.publish("node-a"))).toBe("OK");
  });

  test("labels of a machine are not believed, a reference to it as controller is", async () => {
    const labels = {
      "kubevirt.io": "virt-launcher",
      "kubevirt.io/created-by": "uid-vm1",
      "vm.kubevirt.io/name": "vm1",
    };
    const world = await start();
    world.cluster.pods.splice(1, 1);
    world.cluster.addPod("forged", "node-b", CLAIM, { labels });
    await world.publish("node-a");
    expect(await answer(world.publish("node-b"))).toEndWith("pod vms/forged belongs to no virtual machine");
    world.cluster.pods.splice(1, 1);
    world.cluster.addLauncher("forged", "vm1", "node-b", CLAIM);
    expect(await answer(world.publish("node-b"))).toBe("OK");
  });

  test("a disk that two machines share on one node: the migration of either is refused", async () => {
    const world = await start();
    world.cluster.addLauncher("virt-launcher-vm2-8hd4s", "vm2", "node-a", CLAIM);
    await world.publish("node-a");
    expect(await answer(world.publish("node-a"))).toBe("OK");
    expect(await answer(world.publish("node-b"))).toContain("belong to different virtual machines");
  });
});
