import { afterEach, beforeEach } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unusedHelper } from "../../test/support/node-helper.ts";
import { FakeSysfs } from "../../test/support/sysfs.ts";
import type { Clock } from "../domain/clock.ts";
import type { DataPath, Target } from "../host/data-path.ts";
import type { Command, ExecResult } from "../host/exec.ts";
import type { DeviceInspection } from "../host/helper-answers.ts";
import { createNodeSystem, type NodeSystem } from "../host/system.ts";
import { silentLogger } from "../observability/log.ts";
import { endController } from "./end-controller.ts";
import { createNvmeTcpDataPath } from "./nvme-tcp.ts";

export const PREFIX = "nqn.2000-02.com.mikrotik";
export const SLOT = "csi-0123456789abcdef0123456789ab";
export const NQN = `${PREFIX}:${SLOT}.3`;
export const HOST = "nqn.2014-08.org.nvmexpress:uuid:11111111-1111-4111-8111-111111111111";
export const TARGET: Target = {
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
export const OK: ExecResult = { code: 0, stdout: "", stderr: "", truncated: false };

/** A data path over a fake sysfs; made anew for each test. */
interface Rig {
  sysfs: FakeSysfs;
  /** Programs that were run, without `fuser`. */
  commands: Command[];
  logged: string[];
  /** Controllers that the helper process was asked to end. */
  ended: string[];
  /** Answers a program. */
  answer: (command: Command) => ExecResult;
  /** What the helper process finds on the device. */
  inspection: DeviceInspection;
  /** Runs whenever the code sleeps: what happens in the kernel meanwhile. */
  meanwhile: (round: number) => void;
  /** Polls so far. */
  rounds: number;
  system: NodeSystem;
  dataPath: DataPath;
  procRoot: string;
  outcomes: string[];
}

/** The rig of the test that runs. */
export const rig = {} as Rig;

/** Gives each test of a file its rig. */
export function useRig(): void {
  beforeEach(() => {
    rig.sysfs = new FakeSysfs(NQN, HOST);
    rig.commands = [];
    rig.logged = [];
    rig.outcomes = [];
    rig.ended = [];
    rig.answer = () => {
      throw new Error("no command was expected");
    };
    rig.inspection = {
      exclusive: "free",
      detail: "",
      processes: { uses: [], unreadable: 0 },
      backing: { files: [], remote: [] },
    };
    rig.meanwhile = () => {};
    rig.procRoot = mkdtempSync(join(tmpdir(), "rds-csi-proc-"));
    mkdirSync(join(rig.procRoot, "self"));
    writeFileSync(join(rig.procRoot, "self/mountinfo"), "");
    let now = 0;
    rig.rounds = 0;
    const clock: Clock = {
      now: () => now,
      monotonic: () => now,
      sleep: async (ms, signal) => {
        signal?.throwIfAborted();
        now += ms;
        rig.rounds += 1;
        rig.meanwhile(rig.rounds);
      },
    };
    const log = (message: string, fields: object = {}) =>
      rig.logged.push(`${message} ${JSON.stringify(fields)}`);
    rig.system = createNodeSystem({
      sysRoot: rig.sysfs.root,
      procRoot: rig.procRoot,
      clock,
      logger: { ...silentLogger, info: log, warn: log },
      helper: {
        ...unusedHelper,
        inspect: async () => rig.inspection,
        endController: async (sysRoot, name, nqn) => {
          rig.ended.push(name);
          return endController(sysRoot, name, nqn);
        },
      },
      exec: async (command) => {
        // Nobody is found by fuser: exit code 1.
        if (command.program === "fuser") return { ...OK, code: 1 };
        rig.commands.push(command);
        return rig.answer(command);
      },
    });
    rig.dataPath = createNvmeTcpDataPath(rig.system, {
      nqnPrefix: PREFIX,
      onConnect: (outcome) => rig.outcomes.push(outcome),
    });
  });
  afterEach(() => {
    rig.sysfs.cleanUp();
    rmSync(rig.procRoot, { recursive: true });
  });
}

/** The commands of nvme-cli that were run, without the parameters of connect. */
export const ran = (): string[] =>
  rig.commands.map(({ args }) =>
    args.filter((arg, at) => at === 0 || /^(--nqn|--traddr|\/dev)/.test(arg)).join(" "),
  );
export const CONNECT = `connect --traddr=192.0.2.9 --nqn=${NQN}`;
