import { describe, expect, test } from "bun:test";
import type { DeviceUser } from "../host/data-path.ts";
import { proveUnused, verifyDevice } from "./device-proofs.ts";
import { DEVICE, type Machine, machine, outcome } from "./proofs.fixture.ts";

const process: DeviceUser = { kind: "process", description: "process 1 (udev)" };
const mount: DeviceUser = { kind: "mount", description: "mounted at /a" };

describe("the proof that nothing uses a device", () => {
  const prove = (answers: Machine) => {
    const node = machine(answers);
    return { node, done: proveUnused(node, "csi-a", DEVICE) };
  };

  test("is there at once if there is no user", async () => {
    const { node, done } = prove({});
    expect(await done).toBeUndefined();
    expect(node.steps).toEqual(["users"]);
  });

  test("waits longer each time for a process to end, at most three times", async () => {
    const late = prove({ users: [[process], [process], [process], []] });
    expect(await late.done).toBeUndefined();
    const waits = ["users", "sleep 250", "users", "sleep 500", "users", "sleep 750", "users"];
    expect(late.node.steps).toEqual(waits);
    const never = prove({ users: [[process]] });
    await expect(never.done).rejects.toMatchObject({
      id: "deviceInUse",
      message: expect.stringContaining("process 1 (udev)"),
    });
    expect(never.node.steps).toEqual(waits);
  });

  test("does not wait for a mount, nor if there are other users beside it", async () => {
    for (const users of [[mount], [process, mount]]) {
      const { node, done } = prove({ users: [users, []] });
      expect(await outcome(done)).toBe("deviceInUse");
      expect(node.steps).toEqual(["users"]);
    }
  });
});

test.each<[string, Machine, unknown]>([
  ["the same", {}, undefined],
  ["larger", { find: { sizeBytes: 1_001n } }, undefined],
  ["smaller", { find: { sizeBytes: 999n } }, "deviceTooSmall"],
  ["disconnected", { find: "absent" }, "deviceChanged"],
  ["another name", { find: { name: "nvme1n1" } }, "deviceChanged"],
  ["another number", { find: { number: "259:2" } }, "deviceChanged"],
  ["a node in /dev of another device", { stat: "259:2" }, "deviceChanged"],
  ["a plain file in /dev", { stat: "" }, "deviceChanged"],
])("a device that is %s", async (_, answers, expected) => {
  expect(await outcome(verifyDevice(machine(answers), DEVICE, 1_000n))).toEqual(expected);
});

test("the error about a changed device says what is there", async () => {
  await expect(verifyDevice(machine({ find: "absent" }), DEVICE, 1n)).rejects.toThrow("disconnected");
  await expect(verifyDevice(machine({ find: { name: "x", path: "/dev/x" } }), DEVICE, 1n)).rejects.toThrow(
    "/dev/x",
  );
  await expect(verifyDevice(machine({ stat: "259:2" }), DEVICE, 1n)).rejects.toThrow("block 259:2");
  const now = async (stat: string) => {
    const error = await verifyDevice(machine({ stat }), DEVICE, 1n).catch((thrown) => thrown);
    return error.summary.split(" is now ")[1];
  };
  expect(await now("absent")).toBe("absent");
  expect(await now("")).toBe("no block device");
});
