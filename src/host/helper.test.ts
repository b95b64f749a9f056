import { expect, test } from "bun:test";
import { createHelper } from "./helper.ts";

const helperThatSays = (answer: string) =>
  createHelper(async () => ({ code: 0, stdout: answer, stderr: "", truncated: false }), ["helper"]);

const RIGHT = {
  lookForData: [
    { kind: "blank", bytesRead: 1 },
    { kind: "data", offset: 0 },
    { kind: "unreadable", detail: "x" },
  ],
  inspect: [
    {
      exclusive: "free",
      detail: "",
      processes: { uses: [], unreadable: 0 },
      backing: { files: [], remote: [] },
    },
  ],
  users: [{ users: [], hidden: 0 }],
  ext4State: [{ kind: "other" }, { kind: "unreadable", detail: "x" }],
  findFilesystem: [
    { kind: "read", superblock: { kind: "zeros" }, marks: [] },
    { kind: "unreadable", detail: "x" },
  ],
  writeMark: [{ kind: "done" }, { kind: "refused", detail: "x" }],
  eraseMarks: [{ kind: "done" }, { kind: "failed", detail: "x" }],
  lookForUuid: [{ kind: "same" }, { kind: "changeable", uuid: "x" }, { kind: "kept", reason: "x" }],
  changeUuid: [{ kind: "done" }, { kind: "kept", reason: "x" }, { kind: "refused", detail: "x" }],
  endController: [{ kind: "written" }, { kind: "other", detail: "x" }],
} as const;

/** Each question to a helper that gives one answer. */
const asked = (answer: string): Readonly<Record<keyof typeof RIGHT, () => Promise<unknown>>> => {
  const helper = helperThatSays(answer);
  const mark = { volume: "v", epoch: 1, filesystem: "ext4", token: "t" } as const;
  return {
    lookForData: () => helper.lookForData("/d", 1n, false),
    inspect: () => helper.inspect("/d", ["1:1"], []),
    users: () => helper.users(["1:1"]),
    ext4State: () => helper.ext4State("/d"),
    findFilesystem: () => helper.findFilesystem("/d", 1n, "ext4"),
    writeMark: () => helper.writeMark("/d", "1:1", 1n, mark),
    eraseMarks: () => helper.eraseMarks("/d", "1:1", 1n, "v"),
    lookForUuid: () => helper.lookForUuid("/d", "xfs", "u"),
    changeUuid: () => helper.changeUuid("/d", "1:1", "xfs", "u"),
    endController: () => helper.endController("/sys", "nvme0", "nqn"),
  };
};

test("an answer of the helper process is given as it is", async () => {
  for (const [question, answers] of Object.entries(RIGHT))
    for (const answer of answers)
      expect(await asked(JSON.stringify(answer))[question as keyof typeof RIGHT]()).toEqual(answer as never);
});

test("an answer that has not the form of one, or that is one to another question, is unknown", async () => {
  const wrong = ["", "null", "[]", "{}", "1", '{"kind":"blan', '{"kind":"nothing"}', '{"kind":["blank"]}'];
  const partial = [
    '{"exclusive":"free"}',
    '{"exclusive":"free","processes":{"uses":[]},"backing":{"files":[],"remote":[]}}',
    '{"exclusive":"maybe","processes":{"uses":[],"unreadable":0},"backing":{"files":[],"remote":[]}}',
    '{"kind":"read","superblock":{"kind":"zeros"}}',
    '{"kind":"read","marks":[]}',
    '{"hidden":0}',
  ];
  for (const question of Object.keys(RIGHT) as (keyof typeof RIGHT)[]) {
    for (const answer of [...wrong, ...partial])
      await expect(asked(answer)[question]()).rejects.toMatchObject({ id: "nodeStateUnknown" });
  }
  await expect(asked(JSON.stringify(RIGHT.users[0])).inspect()).rejects.toMatchObject({
    id: "nodeStateUnknown",
  });
  await expect(asked(JSON.stringify(RIGHT.writeMark[0])).lookForData()).rejects.toMatchObject({
    id: "nodeStateUnknown",
  });
});
