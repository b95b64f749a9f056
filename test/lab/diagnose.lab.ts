import { expect } from "bun:test";
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { block, MIB, mount } from "../support/rpc.ts";
import { kind } from "./kind.ts";
import { lab } from "./scenario.ts";
import { LabVolume, QUICK } from "./volume.ts";
import { NODE_SOCKET, type World } from "./world.ts";

const FILES = "/run/lab";
/** A busy host may keep a machine from running for more than the second of QUICK: the kernel would tell of a lost connection. */
const TIMERS = { ...QUICK, keepAliveTmo: "5" };
const RUNBOOKS = join(import.meta.dirname, "../../docs/runbooks");
const NOT_LIVE = "RdsCsiConnectionsNotLive";
const OTHER = "22222222-2222-4222-8222-222222222222";

interface Found {
  readonly id: string;
  readonly severity: string;
  readonly volume: string | null;
  readonly evidence: readonly string[];
  readonly causedBy: { readonly id: string } | null;
}

interface Report {
  readonly worst: string | null;
  readonly findings: readonly Found[];
  readonly volumes: readonly { readonly handle: string; readonly brokenAt: string | null }[];
  readonly code: number | string;
}

/** Keeps a report for the documents, if RDS_CSI_LAB_RECORD names a directory (src/diagnose/recorded). */
function record(name: string, { code: _, ...report }: Report): void {
  const directory = process.env.RDS_CSI_LAB_RECORD ?? "";
  if (directory !== "")
    writeFileSync(join(directory, `${name}.json`), `${JSON.stringify(report, undefined, 2)}\n`);
}

const OF_RDS = [
  ...["--rds-address", "192.0.2.1:2222", "--rds-key-file", `${FILES}/user-key`],
  ...["--rds-host-key-file", `${FILES}/host-key`],
];

/** Runs the command as a person on the node does, with the RDS options too. */
async function diagnose(world: World, node = "node-a", more: readonly string[] = OF_RDS): Promise<Report> {
  const options = [
    ...["--endpoint", `unix://${NODE_SOCKET}`, "--node-id", node, "--storage-address", "192.0.2.1", ...more],
  ];
  const { code, stdout, stderr } = await world
    .machine(node)
    .run(`${kind.executable} diagnose ${options.join(" ")} -o json`, 60_000);
  if (stdout === "") throw new Error(`diagnose ended with ${code}: ${stderr}`);
  return { ...(JSON.parse(stdout) as Report), code };
}

interface Look {
  readonly node?: string;
  readonly page?: readonly [alert: string, id: string];
  readonly undo?: () => Promise<unknown>;
}

const told = ({ findings }: Report) =>
  findings.map(({ id, causedBy }) => (causedBy === null ? id : `${id} < ${causedBy.id}`));

/** A busy host answers some questions too late, which the next look asks again. Milliseconds. */
const CAUSE_MS = 90_000;
/** Findings that say that a question had no answer in time: only then a wrong report is no last word. */
const UNANSWERED = ["check-unanswered", "plugin-not-answering", "rds-not-understood"];
const isUnanswered = ({ findings }: Report): boolean => findings.some(({ id }) => UNANSWERED.includes(id));

/**
 * Runs the command as the page of an alert says: in the node's pod, which has no key of the RDS. The first finding is the given one, and
 * the page names it.
 */
async function expectNamed(world: World, alert: string, id: string): Promise<void> {
  const page = await readFile(join(RUNBOOKS, `${alert}.md`), "utf8");
  expect([alert, page.includes(`\`${id}\``)]).toEqual([alert, true]);
  let seen: readonly string[] = [];
  const look = async () => {
    seen = (await diagnose(world, "node-a", [])).findings.map((each) => each.id);
    return seen[0] === id;
  };
  await world.until(`${id} is the first finding`, look, CAUSE_MS).catch((error: unknown) => {
    throw new Error(`${error}; found: ${seen.join()}`);
  });
}

/**
 * Looks until the first finding names the cause, and everything of the same volume that is not a cause of its own follows from another.
 * @param undo puts right what was broken, also when the cause was not found: the next scenario begins with a node that is well
 * @param page of an alert that leads to this, and the first finding without the RDS's options
 */
async function expectCause(
  world: World,
  [id, volume, ...consequences]: readonly [id: string, volume: string | null, ...consequences: string[]],
  { node = "node-a", page, undo }: Look = {},
): Promise<Report> {
  try {
    if (page !== undefined) await expectNamed(world, ...page);
    for (const end = Date.now() + CAUSE_MS * kind.slowness; ; ) {
      const report = await diagnose(world, node);
      const of = (each: string) => report.findings.find((finding) => finding.id === each);
      const isWhole = consequences.every((each) => of(each)?.causedBy?.id !== undefined);
      const isRight = report.findings[0]?.id === id && isWhole;
      if (!isRight && isUnanswered(report) && Date.now() < end) continue;
      expect([report.findings[0]?.id, told(report)]).toEqual([id, told(report)]);
      expect(report.findings[0]?.volume).toBe(volume);
      expect(report.findings[0]?.evidence).not.toEqual([]);
      for (const each of consequences)
        expect([each, of(each)?.causedBy?.id !== undefined]).toEqual([each, true]);
      expect(report.code).toBe(4);
      return report;
    }
  } finally {
    await undo?.();
  }
}

/** Looks until every question has an answer. */
async function untilWell(world: World): Promise<Report> {
  for (const end = Date.now() + CAUSE_MS * kind.slowness; ; ) {
    const report = await diagnose(world);
    if (!isUnanswered(report) || Date.now() > end) return report;
  }
}

/** A RouterOS command, as an administrator types it. */
async function routerOs(world: World, command: string): Promise<void> {
  const ssh = `ssh -p 2222 -i ${FILES}/user-key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR`;
  await world.machine("control").sh(`${ssh} csi@192.0.2.1 '${command}'`);
}

const untilState = (world: World, volume: LabVolume, state: string, node = "node-a") =>
  world.until(`${volume.id} ${state}`, async () => (await volume.states(node)).join() === state);

lab("rds-csi diagnose names the true cause first", {}, (scenario) => {
  let files: LabVolume;
  let raw: LabVolume;

  scenario("a node that is well: nothing is found", async (world) => {
    for (const name of world.nodeNames) {
      const from = world.machine("control");
      for (const file of ["user-key", "host-key"]) {
        await world.machine(name).put(`${FILES}/${file}`, await from.get(`${FILES}/${file}`));
      }
    }
    files = await LabVolume.create(world, "files", mount(), TIMERS, 256n * MIB);
    raw = await LabVolume.create(world, "raw", block(), TIMERS, 64n * MIB);
    await files.up("node-a");
    await raw.up("node-a");
    // Keeps the port open while others go.
    const anchor = await LabVolume.create(world, "anchor", block(), TIMERS, 64n * MIB);
    await anchor.attach("node-b");
    const report = await untilWell(world);
    record("healthy", report);
    expect([report.findings, report.code]).toEqual([[], 0]);
    expect(report.volumes.map(({ handle, brokenAt }) => [handle, brokenAt])).toEqual(
      [files.id, raw.id].sort().map((id) => [id, null]),
    );
  });

  scenario("export off", async (world) => {
    await routerOs(world, `/disk/set [find slot=${raw.id}] nvme-tcp-export=no`);
    await untilState(world, raw, "connecting");
    await expectCause(world, ["not-exported", raw.id, "connection-not-live", "io-waits"], {
      page: [NOT_LIVE, "target-refuses-connection"],
      undo: () => routerOs(world, `/disk/set [find slot=${raw.id}] nvme-tcp-export=yes`),
    });
    await untilState(world, raw, "live");
  });

  scenario("wrong host list", async (world) => {
    const allow = (nqn: string) =>
      routerOs(world, `/disk/set [find slot=${raw.id}] nvme-tcp-server-allow-host-name="${nqn}"`);
    await allow(`nqn.2014-08.org.nvmexpress:uuid:${OTHER}`);
    await expectCause(world, ["allowed-hosts", raw.id], { undo: () => allow("") });
    await untilState(world, raw, "live");
  });

  scenario("taken over by another node, under a new NQN", async (world) => {
    const taken = await LabVolume.create(world, "taken", block(), TIMERS, 64n * MIB);
    await taken.up("node-a");
    await taken.detach("node-a");
    await taken.up("node-b");
    await untilState(world, taken, "connecting");
    await expectCause(world, ["volume-attached-elsewhere", taken.id, "connection-not-live", "io-waits"], {
      page: [NOT_LIVE, "target-refuses-connection"],
    });
    await taken.down("node-b");
    await taken.unpublish("node-a");
    await taken.up("node-a");
    await taken.down("node-a");
    await taken.delete();
  });

  scenario("target down", async (world) => {
    await world.rds.sh(`kill ${world.services.get("rds")?.pid}`);
    await untilState(world, raw, "connecting");
    const report = await expectCause(
      world,
      ["storage-port-refused", null, "connection-not-live", "io-waits"],
      {
        page: [NOT_LIVE, "storage-port-refused"],
        undo: () => world.startRds(),
      },
    );
    expect(told(report)).toContain("rds-unreachable");
    await untilState(world, raw, "live");
    await untilState(world, files, "live");
  });

  scenario("a hung mount: I/O blocked, processes that cannot be killed", async (world) => {
    const a = world.machine("node-a");
    await a.sh(`echo precious >${files.target()}/g && sync ${files.target()}/g`);
    world.cable("rds").up = false;
    await untilState(world, files, "connecting");
    // It has the file open and waits for what it wrote.
    const write = `of=${files.target()}/g bs=4096 count=1 conv=notrunc,fsync`;
    const dirty = await a.start("dirty", "/bin/dd", ["if=/dev/zero", ...write.split(" ")]);
    const stat = `cat /proc/${dirty.pid}/stat 2>/dev/null || true`;
    await world.until("it hangs", async () => (await a.look(stat)).includes(") D "));
    const consequences = ["connection-not-live", "io-waits", "hung-tasks", "rds-unreachable"];
    const report = await expectCause(world, ["storage-unreachable", null, ...consequences], {
      page: [NOT_LIVE, "storage-unreachable"],
    });
    record("broken", report);
    const hung = report.findings.find(({ id, volume }) => id === "hung-tasks" && volume === files.id);
    expect(hung?.evidence.join()).toContain(`process ${dirty.pid} (dd)`);
    // The same for a person at a terminal, with a deadline that is shorter than what hangs.
    const text = await a.run(`${kind.executable} diagnose --node-id node-a --timeout 5`, 15_000);
    expect(text.stdout).toContain("hung-tasks");
    world.cable("rds").up = true;
    await untilState(world, files, "live");
    await untilState(world, raw, "live");
    expect(await dirty.ended).toBe("0");
  });

  scenario("module missing", async (world) => {
    const b = world.machine("node-b");
    await b.sh("rmmod nvme_tcp");
    // insmod said once, for a reason that nobody knows, that the module is there already. It has to be there afterwards.
    const load = "insmod $(sed 's/.*lab.modules=//; s/ .*//' /proc/cmdline)/nvme-tcp.ko";
    const undo = () => b.sh(`${load} || grep '^nvme_tcp ' /proc/modules`);
    await expectCause(world, ["nvme-tcp-module-missing", null], { node: "node-b", undo });
  });

  scenario("NQN taken by another host", async (world) => {
    const stolen = await LabVolume.create(world, "stolen", block(), TIMERS, 64n * MIB);
    const { nqn } = await stolen.attach("node-a");
    const host = `--hostnqn=nqn.2014-08.org.nvmexpress:uuid:${OTHER} --hostid=${OTHER}`;
    await world.machine("node-a").sh(`nvme connect -t tcp -a 192.0.2.1 -s 4420 -n ${nqn} ${host}`);
    await expectCause(world, ["connected-as-other-host", stolen.id], {
      undo: () => world.machine("node-a").sh(`nvme disconnect -n ${nqn}`),
    });
    await stolen.detach("node-a");
    await stolen.delete();
  });

  scenario("stale mount", async (world) => {
    const stale = await LabVolume.create(world, "stale", mount(), TIMERS, 256n * MIB);
    await stale.up("node-a");
    await world.machine("node-a").sh(`nvme disconnect -n ${stale.context("node-a").nqn}`);
    await expectCause(world, ["mount-device-vanished", stale.id]);
    await stale.down("node-a");
    await stale.delete();
  });

  scenario("leftover connection", async (world) => {
    const left = await LabVolume.create(world, "left", block(), TIMERS, 64n * MIB);
    await left.attach("node-a");
    await left.stage("node-a");
    await left.detach("node-a");
    await untilState(world, left, "connecting");
    await expectCause(world, ["leftover-connection", left.id, "connection-not-live"]);
    await left.unstage("node-a");
    await left.delete();
  });

  scenario("file missing", async (world) => {
    const gone = await LabVolume.create(world, "gone", block(), TIMERS, 64n * MIB);
    await gone.up("node-a");
    await world.control("POST", "/switches", { fileRemoveInUse: "allowed" });
    await routerOs(world, `/file/remove [find name="storage-pool/csi/${gone.id}/disk.img"]`);
    await untilState(world, gone, "connecting");
    await expectCause(world, ["file-missing", gone.id, "connection-not-live", "io-waits"]);
    await gone.down("node-a");
    await gone.delete();
  });

  scenario("pool unmounted", async (world) => {
    await world.control("POST", "/pools", { slot: "storage-pool", mounted: false });
    await untilState(world, raw, "connecting");
    await expectCause(world, ["pool-not-mounted", null, "connection-not-live", "io-waits"], {
      undo: () => world.control("POST", "/pools", { slot: "storage-pool", mounted: true }),
    });
    await untilState(world, raw, "live");
    await untilState(world, files, "live");
  });

  scenario("key refused", async (world) => {
    await world.control("POST", "/faults", {
      kind: "refuseSessions",
      mode: "authentication",
      count: "forever",
    });
    await expectCause(world, ["rds-key-refused", null], { undo: () => world.control("DELETE", "/faults") });
  });

  scenario("kubelet's socket of the plugin missing", async (world) => {
    const a = world.machine("node-a");
    await a.sh(`mv ${NODE_SOCKET} ${NODE_SOCKET}.away`);
    const undo = () => a.sh(`mv ${NODE_SOCKET}.away ${NODE_SOCKET}`);
    await expectCause(world, ["plugin-socket-missing", null], { undo });
  });

  scenario("after all that the node is well again, and nothing was changed by looking", async (world) => {
    const report = await untilWell(world);
    expect(report.findings.filter(({ severity }) => severity !== "info").map(({ id }) => id)).toEqual([]);
    expect(report.code).toBe(0);
    // What the kernel has said of all that is not forgotten.
    await expectNamed(world, "RdsCsiConnectionsReconnecting", "nvme-kernel-errors");
    await files.down("node-a");
    await raw.down("node-a");
  });
});
