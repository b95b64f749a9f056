import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  VolumeCapability_AccessMode_Mode as Mode,
  type VolumeCapabilitySchema,
} from "../../src/csi/gen/csi_pb.ts";
import type { Stand } from "../support/stand.ts";
import { ContinuousWriter } from "./writer.ts";

/** What the demo lends to this part. */
export interface Stage {
  say(text: string): void;
  check(condition: boolean, what: string): void;
  nodePaths(stand: Stand, node: string, name: string): Promise<{ staging: string; target: string }>;
  refused(what: string, call: Promise<unknown>): Promise<void>;
  metrics(pattern: RegExp): Promise<string[]>;
}

const NAME = "demo-vm-disk";
const capability: MessageInitShape<typeof VolumeCapabilitySchema> = {
  accessMode: { mode: Mode.MULTI_NODE_MULTI_WRITER },
  accessType: { case: "block", value: {} },
};

/**
 * A live migration of a ReadWriteMany block volume from node-a to node-b, with a guest that writes all the time: both nodes are
 * attached for as long as it takes, never a third, and every acknowledged write is there afterwards.
 */
export async function migrationLife(stand: Stand, withData: boolean, stage: Stage): Promise<void> {
  const { say, check } = stage;
  const { volume } = await stand.controller.createVolume({
    name: NAME,
    capacityRange: { requiredBytes: 64n * 1024n * 1024n },
    volumeCapabilities: [capability],
    parameters: { "csi.storage.k8s.io/pvc/namespace": "demo", "csi.storage.k8s.io/pvc/name": NAME },
  });
  const volumeId = volume?.volumeId ?? "";
  const writer = new ContinuousWriter();
  const attach = async (node: string): Promise<string> => {
    const { publishContext } = await stand.controller.controllerPublishVolume({
      volumeId,
      nodeId: node,
      volumeCapability: capability,
    });
    const { staging, target } = await stage.nodePaths(stand, node, NAME);
    if (withData) {
      const staged = { volumeId, stagingTargetPath: staging, volumeCapability: capability, publishContext };
      await stand.node(node).nodeStageVolume(staged);
      await stand.node(node).nodePublishVolume({ ...staged, targetPath: target });
    }
    return target;
  };
  const detach = async (node: string): Promise<void> => {
    const { staging, target } = await stage.nodePaths(stand, node, NAME);
    if (withData) {
      await stand.node(node).nodeUnpublishVolume({ volumeId, targetPath: target });
      await stand.node(node).nodeUnstageVolume({ volumeId, stagingTargetPath: staging });
    }
    await stand.controller.controllerUnpublishVolume({ volumeId, nodeId: node });
  };
  try {
    const source = await attach("node-a");
    if (withData) await writer.start(source);
    say(`${NAME}: a virtual machine runs on node-a${withData ? " and writes without pause" : ""}`);
    const target = await attach("node-b");
    say(`${NAME}: live migration: node-a and node-b are both attached, under one NQN`);
    await stage.refused(
      `${NAME}: attaching it to a third node`,
      stand.controller.controllerPublishVolume({ volumeId, nodeId: "node-c", volumeCapability: capability }),
    );
    if (withData) {
      const before = writer.written;
      await writer.moveTo(target);
      say(`${NAME}: the guest has moved to node-b after ${before} writes and goes on writing`);
    }
    await detach("node-a");
    if (withData) {
      await writer.stop();
      const lost = await writer.verify(target);
      check(writer.written > 0, "the guest wrote nothing");
      check(lost.length === 0, `${lost.length} acknowledged writes are gone, the first is ${lost[0]}`);
      say(
        `${NAME}: node-a has left; the last ${Math.min(writer.written, 1024)} of ${writer.written} acknowledged writes were read back, none is missing`,
      );
    }
    await showOutcome(stand, volumeId, stage);
    await detach("node-b");
    await stand.controller.deleteVolume({ volumeId });
    say(`${NAME}: taken down and deleted`);
  } finally {
    // Whatever has failed: nothing may keep the device, or this process, busy.
    await writer.stop();
  }
}

async function showOutcome(stand: Stand, volumeId: string, { check, metrics }: Stage): Promise<void> {
  const log = await readFile(join(stand.directory, "controller.log"), "utf8");
  const lines = log.split("\n").filter((line) => line.includes(`volume=${volumeId}`));
  const events = lines.flatMap((line) => {
    const found = /reason=(\w+) message="([^"]*)"/.exec(line);
    return found === null ? [] : [`${found[1]?.padEnd(20)}${found[2]}`];
  });
  check(
    events.some((line) => line.startsWith("MigrationStarted")) &&
      events.some((line) => line.startsWith("MigrationCompleted")),
    "an event is missing",
  );
  console.log(`\n  events on the claim\n${events.map((line) => `    ${line}`).join("\n")}\n`);
  const shown = await metrics(
    /^rds_csi_migration_(migrations_total|active_migrations|duration_seconds_(sum|count))/,
  );
  check(
    shown.includes('rds_csi_migration_migrations_total{result="success"} 1'),
    "the migration was not counted",
  );
  check(shown.includes("rds_csi_migration_active_migrations 0"), "a migration is still active");
  console.log(`  metrics\n${shown.map((line) => `    ${line}`).join("\n")}\n`);
}
