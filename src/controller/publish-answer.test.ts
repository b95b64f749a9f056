import { describe, expect, test } from "bun:test";
import { NEW_RECORD } from "../../test/support/records.ts";
import { filesystemUuidOf } from "../domain/filesystem-uuid.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { decidePublish } from "../migration/publish.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { publishContextOf } from "./publish-answer.ts";

const ID = volumeIdFromName("clone");
const HOST = "nqn.2014-08.org.nvmexpress:uuid:a";

/** The publish context of a first and, later, of a second attachment of a volume. */
function contextsOf(record: VolumeRecord, accessType: "mount" | "block") {
  const accessMode = "SINGLE_NODE_WRITER" as const;
  const filesystem = accessType === "mount" ? ("xfs" as const) : undefined;
  const request = { volume: ID, node: "a", hostNqn: HOST, readonly: false, by: "me" };
  let now = record;
  return [1, 2].map(() => {
    const decision = decidePublish(
      { ...now, attachments: [] },
      { ...request, accessMode, accessType, filesystem },
      1,
      {},
    );
    if (decision.kind !== "accept") throw new Error(decision.kind);
    now = decision.record;
    const disk = { size: 1n << 30n, port: 4420, nqn: `nqn.2000-02.com.mikrotik:${ID}.1` };
    return publishContextOf({ id: ID, disk, record: now } as RdsVolume, HOST, "192.0.2.1");
  });
}

describe("the content of a clone", () => {
  test.each([
    ["a volume of its own", {}, "mount", ["new", "used"], false],
    ["a clone of a filesystem", { source: "snap-1", filesystem: "xfs" }, "mount", ["keep", "keep"], true],
    [
      "a clone of a volume without one: blank, until a node makes it",
      { source: "snap-1" },
      "mount",
      ["new", "used"],
      true,
    ],
    ["a clone as a block device", { source: "snap-1", filesystem: "xfs" }, "block", ["keep", "keep"], false],
    ["a clone of a block volume, as a block device", { source: "snap-1" }, "block", ["new", "used"], false],
  ] as const)("%s", (_, more, accessType, states, hasUuid) => {
    const contexts = contextsOf({ ...NEW_RECORD, ...more }, accessType);
    expect(contexts.map(({ filesystemState }) => filesystemState)).toEqual([...states]);
    const uuid = hasUuid ? filesystemUuidOf(ID) : undefined;
    expect(contexts.map(({ filesystemUuid }) => filesystemUuid)).toEqual([uuid, uuid]);
  });
});
