import { afterAll, afterEach, beforeAll } from "bun:test";
import { mkdirSync } from "node:fs";
import { Lab, type LabNode, type Volume } from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { grpcCodeName } from "../../domain/errors/grpc-code.ts";
import { type Command, exec } from "../../host/exec.ts";
import { statFilesystem } from "../../mount/stat.ts";

/** What the present test does whenever a program runs. */
export const rig: {
  hook: (command: Command) => void;
} = {
  hook: () => {},
};

export const MIB = 1024n * 1024n;

export async function outcome(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "OK";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return `${grpcCodeName(error.code)} ${error.id}`;
  }
}

export let lab: Lab;

export let node: LabNode;

/** Programs that a node ran, with their operands. */
export const ran: string[] = [];

export let paths = 0;

export class Staged {
  readonly volume: Volume;
  readonly staging: string;
  readonly target: string;
  capability: Capability;

  constructor(capability: Capability, sizeMib: number) {
    paths += 1;
    this.volume = lab.volume(sizeMib).export();
    this.staging = lab.path(`stage-${paths}`);
    this.target = lab.path(`target-${paths}`);
    this.capability = capability;
    mkdirSync(this.staging);
  }
  get common() {
    const { volumeId } = this.volume;
    return { volumeId, stagingTargetPath: this.staging, capability: this.capability };
  }
  async stage(on = node, more = {}): Promise<this> {
    const publishContext = this.volume.context(on, more);
    await on.service.stage({ ...this.common, publishContext, volumeContext: {} });
    return this;
  }
  async publish(on = node, readonly = false): Promise<this> {
    const publishContext = this.volume.context(on);
    await on.service.publish({ ...this.common, publishContext, targetPath: this.target, readonly });
    return this;
  }
  expand(over: object = {}, on = node): Promise<bigint> {
    const range = { requiredBytes: BigInt(this.volume.size), limitBytes: 0n };
    return on.service.expand({ ...this.common, volumePath: this.staging, range, ...over });
  }
  async unstage(on = node): Promise<void> {
    const { volumeId } = this.volume;
    await on.service.unpublish({ volumeId, targetPath: this.target });
    await on.service.unstage({ volumeId, stagingTargetPath: this.staging });
  }
  /** Bytes of the mounted filesystem. */
  async bytes(): Promise<bigint> {
    const { blocks, blockSize } = await statFilesystem(exec, this.staging);
    return blocks * blockSize;
  }
}

/** Gives the tests of a file a lab with one node, whose programs are noted. */
export function useExpandRig(): void {
  beforeAll(() => {
    lab = new Lab();
    node = lab.node("node-a", {
      exec: (command) => {
        ran.push([command.program, ...command.args].join(" "));
        rig.hook(command);
        return exec(command);
      },
    });
  });
  afterEach(async () => {
    rig.hook = () => {};
    ran.length = 0;
  });
  afterAll(() => lab.cleanUp());
}
