import { afterAll, afterEach, beforeAll } from "bun:test";
import { mkdirSync } from "node:fs";
import { EXT4, Lab, type LabNode, type Volume } from "../../../test/support/loop-node.ts";
import type { Capability } from "../../domain/access-mode.ts";
import type { PublishContext } from "../../domain/publish-context.ts";
import { type Command, type Exec, exec } from "../../host/exec.ts";

/** The programs that the present test has run, and what it puts in their place. */
export const rig: {
  commands: Command[];
  /** Replaces a program's run. */
  instead: (command: Command) => ReturnType<Exec> | undefined;
} = {
  commands: [],
  instead: () => undefined,
};

export let lab: Lab;

export let count = 0;

export let node: LabNode;

export const programs = (): readonly string[] => rig.commands.map((command) => command.program);

export const ran = (program: string) => programs().includes(program);

export const staging = () => {
  count += 1;
  const path = lab.path(`staging-${count}`);
  mkdirSync(path);
  return path;
};

export const stage = (
  volume: Volume,
  path: string,
  more: {
    capability?: Capability;
    context?: Partial<PublishContext>;
    on?: LabNode;
    signal?: AbortSignal;
  } = {},
) => {
  const on = more.on ?? node;
  return on.service.stage({
    volumeId: volume.volumeId,
    publishContext: volume.context(on, more.context),
    stagingTargetPath: path,
    capability: more.capability ?? EXT4,
    volumeContext: {},
    signal: more.signal,
  });
};

export const unstage = (volume: Volume, path: string, on = node) =>
  on.service.unstage({ volumeId: volume.volumeId, stagingTargetPath: path });

/** Gives the tests of a file a lab with one node, whose programs are noted in `rig`. */
export function useStageRig(): void {
  beforeAll(() => {
    lab = new Lab();
    rig.commands = [];
    rig.instead = () => undefined;
    node = lab.node("node-a", {
      exec: (command) => {
        rig.commands.push(command);
        return rig.instead(command) ?? exec(command);
      },
    });
  });
  afterAll(() => lab.cleanUp());
  afterEach(() => {
    rig.instead = () => undefined;
    rig.commands = [];
  });
}
