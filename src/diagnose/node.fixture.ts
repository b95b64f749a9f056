import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { FakeSysfs } from "../../test/support/sysfs.ts";
import { identityService } from "../csi/identity.ts";
import { type RunningServer, startServer } from "../csi/server.ts";
import { systemClock } from "../domain/clock.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import type { ExecResult } from "../host/exec.ts";
import { createNodeSystem } from "../host/system.ts";
import { NODE_TOOLS } from "../host/tools.ts";
import { notAsked } from "../inspect/fact.ts";
import { silentLogger } from "../observability/log.ts";
import type { DiagnoseConfig, DiagnoseContext } from "./context.ts";
import { type Diagnosis, diagnose } from "./diagnosis.ts";
import { gather } from "./gather.ts";

export const DRIVER = "rds.csi.srvlab.io";
export const IDENTITY = hostIdentity("test", "node-a");
const PLAIN = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw";

/**
 * A node that is well, as trees of files: /sys (recorded), /proc, /dev and kubelet's directory, with a plugin that answers and a
 * storage address that listens. Its one volume is connected and has 300 MiB.
 */
export class FakeNode {
  readonly directory = mkdtempSync(join(tmpdir(), "rds-diag-"));
  readonly sysfs: FakeSysfs;
  /** Programs that ran. */
  readonly ran: string[] = [];
  /** How processes that are started answer; undefined: as they do when nothing is wrong. */
  answer: ((program: string, signal?: AbortSignal) => Promise<ExecResult> | undefined) | undefined;
  config: DiagnoseConfig;
  /** Processes that the search for users of the devices may not look into. */
  hidden = 0;
  readonly #target: Server = createServer((socket) => socket.destroy());
  #plugin: RunningServer | undefined;

  private constructor(nqn: string) {
    this.sysfs = new FakeSysfs(nqn, IDENTITY.hostNqn);
    this.sysfs.set("hostid", IDENTITY.hostId);
    mkdirSync(join(this.sysfs.root, "module/nvme_fabrics"), { recursive: true });
    this.write("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n");
    this.write("proc/uptime", "5000.00 4000.00\n");
    this.write("proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n");
    this.mounts();
    mkdirSync(join(this.directory, "proc/self/ns"), { recursive: true });
    symlinkSync("pid:[4026531836]", join(this.directory, "proc/self/ns/pid"));
    this.write("dev/nvme-fabrics", "");
    this.write("dev/kmsg", "");
    this.write(`kubelet/plugins_registry/${DRIVER}-reg.sock`, "");
    for (const { name } of NODE_TOOLS) {
      this.write(`bin/${name}`, "");
      chmodSync(join(this.directory, "bin", name), 0o755);
    }
    this.config = {
      nodeId: "node-a",
      nodeIdAssumed: false,
      clusterId: "test",
      nqnPrefix: "nqn.2000-02.com.mikrotik",
      driverName: DRIVER,
      dataPath: "nvme-tcp",
      loop: undefined,
      endpoint: join(this.directory, "csi.sock"),
      kubeletDir: join(this.directory, "kubelet"),
      orchestrator: "none",
      kubeconfig: undefined,
      storageAddresses: [],
      rds: notAsked("not in this test"),
      pool: "storage-pool",
    };
  }

  static async start(nqn: string): Promise<FakeNode> {
    const node = new FakeNode(nqn);
    await node.listen();
    await node.startPlugin();
    return node;
  }

  /** Port of the storage address. */
  get port(): number {
    const address = this.#target.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async startPlugin(ready = true, name = DRIVER): Promise<void> {
    const identity = identityService({
      name,
      vendorVersion: "0.1.0",
      isReady: () => ready,
    });
    this.#plugin = await startServer({
      endpoint: this.config.endpoint,
      services: [identity],
      interceptors: [],
      clock: systemClock,
      logger: silentLogger,
      drainMs: 50,
      abortMs: 50,
    });
  }

  async stopPlugin(): Promise<void> {
    await this.#plugin?.close();
  }

  /** The storage address answers, and the connection leads to it. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#target.listen(0, "127.0.0.1", resolve));
    this.sysfs.address = `traddr=127.0.0.1,trsvcid=${this.port},src_addr=127.0.0.1`;
  }

  /** Nothing listens on the storage port any more. */
  async stopTarget(): Promise<void> {
    if (this.#target.listening) await new Promise((resolve) => this.#target.close(resolve));
  }

  write(path: string, text: string): void {
    const file = join(this.directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }

  remove(path: string): void {
    rmSync(join(this.directory, path), { recursive: true });
  }

  /** The mount table: lines of mountinfo besides that of the root. */
  mounts(...lines: readonly string[]): void {
    this.write("proc/self/mountinfo", `${[PLAIN, ...lines].join("\n")}\n`);
  }

  /** A line of mountinfo for a filesystem on the volume's device. */
  mounted(path: string, more: { device?: string; options?: string; super?: string } = {}): string {
    const { device = "259:1", options = "rw", super: superOptions = "rw" } = more;
    return `90 22 ${device} / ${path} ${options} shared:9 - ext4 /dev/nvme0n1 ${superOptions}`;
  }

  /** A message of the kernel, some seconds ago. */
  kernelSays(ageSeconds: number, text: string): string {
    return `6,100,${(5_000 - ageSeconds) * 1_000_000},-;${text}\n`;
  }

  context(): DiagnoseContext {
    const system = createNodeSystem({
      exec: async ({ program, args, signal }) => {
        this.ran.push([program, ...args].join(" "));
        const given = await this.answer?.(program, signal);
        if (given !== undefined) return given;
        const users = args.includes("users") ? JSON.stringify({ users: [], hidden: this.hidden }) : "";
        const stdout = program === "stat" ? "4096 1000 500 500 100 50" : users || "program 1.0";
        return { code: 0, stdout, stderr: "", truncated: false };
      },
      sysRoot: this.sysfs.root,
      procRoot: join(this.directory, "proc"),
    });
    return {
      system,
      config: this.config,
      devRoot: join(this.directory, "dev"),
      etcNvme: [join(this.directory, "etc/nvme")],
      toolPath: [join(this.directory, "bin")],
    };
  }

  /** @param laterMs how much later than now the facts are judged */
  async diagnose({ limitMs = 5_000, laterMs = 0 } = {}): Promise<Diagnosis> {
    const context = this.context();
    const begun = performance.now();
    const gathered = await gather(context, limitMs, new AbortController().signal);
    return diagnose(gathered, Date.now() + laterMs, performance.now() - begun);
  }

  async close(): Promise<void> {
    await this.stopPlugin();
    await this.stopTarget();
    this.sysfs.cleanUp();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Findings as `id`, or `id < cause`. */
export const told = ({ findings }: Diagnosis): readonly string[] =>
  findings.map(({ id, causedBy }) => (causedBy === undefined ? id : `${id} < ${causedBy.id}`));
