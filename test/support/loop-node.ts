import { execFileSync } from "node:child_process";
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Capability } from "../../src/domain/access-mode.ts";
import { hostIdentity } from "../../src/domain/host-identity.ts";
import { encodePublishContext, type PublishContext } from "../../src/domain/publish-context.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import type { DataPath } from "../../src/host/data-path.ts";
import { createNodeSystem, type NodeSystem } from "../../src/host/system.ts";
import { TOOL_PATH } from "../../src/host/tools.ts";
import { parseMountinfo } from "../../src/mount/mountinfo.ts";
import { createNodeService, type NodeService, type NodeUpkeep } from "../../src/node/service.ts";
import { createLoopDataPath } from "../../src/nvme/loop.ts";

export const PREFIX = "nqn.2000-02.com.mikrotik";
export const CLUSTER = "lab";
export const DRIVER = "rds.csi.example";
const MIB = 1024 * 1024;

export function hasTool(name: string): boolean {
  return toolPath(name) !== undefined;
}

/** Where a program is; ordinary users do not have all of TOOL_PATH in their PATH. */
export function toolPath(name: string): string | undefined {
  const places = TOOL_PATH.map((directory) => `${directory}/${name}`);
  return places.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * First shell command in a new mount namespace, whose mounts have to be private: it lets go of those of tests that run at the same time. A copy of a mount keeps its
 * filesystem alive after the umount, and with it the device of that test in use.
 */
export const FORGET_MOUNTS = `awk '$5 ~ "/rds-csi-" { print $5 }' /proc/self/mountinfo | while read -r at; do umount --lazy "$at" 2>/dev/null; done; `;

/** Why real devices cannot be used here; "" if they can. Shown in the names of skipped tests. */
export const noDevices: string =
  process.getuid?.() !== 0
    ? "needs root"
    : (["losetup", "mount", "umount", "blkid", "blockdev", "mkfs.ext4"].find((tool) => !hasTool(tool)) ??
        "") ||
      (readdirSync("/dev").includes("loop-control") ? "" : "no loop devices");

/** Bit of CAP_SYS_RESOURCE, which the kernel wants for growing a mounted ext4 (fs/ext4/ioctl.c); containers may lack it. */
const CAP_SYS_RESOURCE = 1n << 24n;
const [, capabilities = "0"] =
  /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
export const growsExt4: boolean = (BigInt(`0x${capabilities}`) & CAP_SYS_RESOURCE) !== 0n;

export interface LabNode {
  readonly nodeId: string;
  readonly service: NodeService & NodeUpkeep;
  readonly dataPath: DataPath;
  readonly system: NodeSystem;
}

/** A directory with image files, their exports, and nodes that use them through real loop devices. */
export class Lab {
  readonly root = realpathSync(mkdtempSync(join(tmpdir(), "rds-csi-node-")));
  readonly exportsDir = join(this.root, "exports");
  #volumes = 0;

  constructor() {
    for (const name of ["exports", "images", "kubelet", "state"]) mkdirSync(join(this.root, name));
  }

  path(...parts: string[]): string {
    return join(this.root, "kubelet", ...parts);
  }

  node(
    nodeId: string,
    overrides: Partial<NodeSystem> = {},
    wrap?: (dataPath: DataPath) => DataPath,
    stateDir = join(this.root, "state", nodeId),
  ): LabNode {
    const system = createNodeSystem(overrides);
    const real = createLoopDataPath(system, {
      exportsDir: this.exportsDir,
      stateDir,
      nqnPrefix: PREFIX,
    });
    const dataPath = wrap?.(real) ?? real;
    const installation = { clusterId: CLUSTER, nqnPrefix: PREFIX, driverName: DRIVER };
    const options = { system, dataPath, nodeId, ...installation, maxVolumesPerNode: 0 };
    return { nodeId, system, dataPath, service: createNodeService(options) };
  }

  /** A new image file; not exported yet. */
  volume(sizeMib: number): Volume {
    this.#volumes += 1;
    return new Volume(this, volumeIdFromName(`${this.root}-${this.#volumes}`), sizeMib * MIB);
  }

  /** Unmounts and detaches whatever is left below this lab, then removes its files. */
  cleanUp(): void {
    for (let round = 0; round < 5; round += 1) {
      const devices = new Set(this.loops().map((name) => `/dev/${name}`));
      const mounts = parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8"));
      for (const mount of mounts.filter((each) => each.mountPoint.startsWith(`${this.root}/`)).reverse()) {
        quietly(() => execFileSync("umount", [mount.mountPoint], { stdio: "ignore" }));
      }
      for (const device of devices) {
        // A loop device keeps the switch, for whoever is next.
        quietly(() => execFileSync("blockdev", ["--setrw", device], { stdio: "ignore" }));
        quietly(() => execFileSync("losetup", ["-d", device], { stdio: "ignore" }));
      }
      if (this.loops().length === 0) break;
    }
    rmSync(this.root, { recursive: true, force: true, maxRetries: 2 });
  }

  /** Loop devices over files of this lab. */
  loops(): string[] {
    return readdirSync("/sys/block").filter((name) => {
      try {
        return readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").startsWith(`${this.root}/`);
      } catch {
        return false;
      }
    });
  }

  mountsAt(path: string) {
    return parseMountinfo(readFileSync("/proc/self/mountinfo", "utf8")).filter(
      (each) => each.mountPoint === path,
    );
  }
}

export class Volume {
  readonly image: string;
  epoch = 1;
  readonly #lab: Lab;
  readonly volumeId: string;
  size: number;

  constructor(lab: Lab, volumeId: string, size: number) {
    this.#lab = lab;
    this.volumeId = volumeId;
    this.size = size;
    this.image = join(lab.root, "images", `${volumeId}.img`);
    writeFileSync(this.image, "");
    truncateSync(this.image, size);
  }

  get nqn(): string {
    return this.epoch === 0 ? `${PREFIX}:${this.volumeId}` : `${PREFIX}:${this.volumeId}.${this.epoch}`;
  }

  export(allowHosts: readonly string[] = []): this {
    const text = JSON.stringify({
      nqn: this.nqn,
      port: 4420,
      path: this.image,
      sizeBytes: String(this.size),
      slot: this.volumeId,
      allowHosts,
    });
    writeFileSync(join(this.#lab.exportsDir, `${this.nqn}.json`), text);
    return this;
  }

  /** Grows the image; an export that there is shows the new size once it is exported again, or at once. */
  grow(sizeMib: number, seen: "at once" | "later" = "at once"): this {
    this.size = sizeMib * MIB;
    truncateSync(this.image, this.size);
    return seen === "at once" ? this.export() : this;
  }

  withdraw(): this {
    unlinkSync(join(this.#lab.exportsDir, `${this.nqn}.json`));
    return this;
  }

  context(node: LabNode, more: Partial<PublishContext> = {}): Record<string, string> {
    return encodePublishContext({
      nqn: this.nqn,
      address: "127.0.0.1",
      port: 4420,
      hostNqn: hostIdentity(CLUSTER, node.nodeId).hostNqn,
      sizeBytes: BigInt(this.size),
      filesystemState: "new",
      ctrlLossTmo: -1,
      reconnectDelay: 2,
      keepAliveTmo: 5,
      fastIoFailTmo: -1,
      nrIoQueues: 0,
      queueSize: 0,
      readonly: false,
      ...more,
    });
  }
}

export const EXT4: Capability = {
  accessMode: "SINGLE_NODE_WRITER",
  accessType: "mount",
  fsType: "",
  mountFlags: [],
};
export const BLOCK: Capability = {
  accessMode: "MULTI_NODE_MULTI_WRITER",
  accessType: "block",
  fsType: "",
  mountFlags: [],
};

function quietly(action: () => void): void {
  try {
    action();
  } catch {
    // Clean-up goes on.
  }
}
