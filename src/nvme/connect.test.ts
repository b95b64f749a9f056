import { describe, expect, test } from "bun:test";
import { failure } from "../domain/errors/driver-error.ts";
import { createConnectQueue } from "./connect-queue.ts";
import { CONNECT, HOST, NQN, OK, PREFIX, ran, rig, TARGET, useRig } from "./nvme-tcp.fixture.ts";
import { createNvmeTcpDataPath } from "./nvme-tcp.ts";

useRig();

describe("connect", () => {
  test("live: used as it is", async () => {
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.commands).toEqual([]);
  });

  test("connecting: waits, does not connect twice", async () => {
    rig.sysfs.state = "connecting";
    rig.meanwhile = (round) => {
      if (round === 5) rig.sysfs.state = "live";
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.commands).toEqual([]);
  });

  test("connecting for ever: UNAVAILABLE with the state", async () => {
    rig.sysfs.state = "resetting";
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "deviceNotReady",
      message: expect.stringContaining("40 s (nvme0 resetting at 192.0.2.9:4420)"),
    });
  });

  test("live for another host: refused", async () => {
    rig.sysfs.rename(NQN, HOST.replaceAll("1111", "2222"));
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({ id: "connectedAsOtherHost" });
  });

  test("live for another host, under the name of the earlier driver: used as it is", async () => {
    const nqn = `${PREFIX}:pvc-01234567-89ab-cdef-0123-456789abcdef`;
    rig.sysfs.rename(nqn, HOST.replaceAll("1111", "2222"));
    expect(await rig.dataPath.connect({ ...TARGET, nqn })).toMatchObject({ name: "nvme0n1", nqn });
    expect(rig.commands).toEqual([]);
    // With an epoch it is a connection of this driver, which has this node's own host NQN.
    rig.sysfs.rename(`${nqn}.3-0011aabb`, HOST.replaceAll("1111", "2222"));
    await expect(rig.dataPath.connect({ ...TARGET, nqn: `${nqn}.3-0011aabb` })).rejects.toMatchObject({
      id: "connectedAsOtherHost",
    });
  });

  test("absent: connects with every parameter explicit, waits for the device", async () => {
    const fresh = rig.sysfs;
    fresh.rename("nqn.2019-01.com.example:other", HOST);
    rig.answer = () => {
      rig.meanwhile = (round) => {
        if (round === 2) fresh.rename(NQN, HOST);
      };
      return OK;
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.commands.map(({ program, args }) => [program, ...args])).toEqual([
      [
        "nvme",
        "connect",
        "--transport=tcp",
        "--traddr=192.0.2.9",
        "--trsvcid=4420",
        `--nqn=${NQN}`,
        `--hostnqn=${HOST}`,
        "--hostid=11111111-1111-4111-8111-111111111111",
        "--ctrl-loss-tmo=-1",
        "--reconnect-delay=2",
        "--keep-alive-tmo=5",
      ],
    ]);
  });

  test("somebody else connects in the same moment: already connected means look again", async () => {
    rig.sysfs.rename("nqn.2019-01.com.example:other", HOST);
    rig.answer = () => {
      rig.sysfs.rename(NQN, HOST);
      return { ...OK, code: 1, stderr: "already connected\n" };
    };
    expect(await rig.dataPath.connect(TARGET)).toMatchObject({ name: "nvme0n1" });
    expect(rig.commands).toHaveLength(1);
  });

  test("queue settings are passed on only when they are set", async () => {
    rig.sysfs.rename("nqn.2019-01.com.example:other", HOST);
    rig.answer = () => {
      rig.sysfs.rename(NQN, HOST);
      return OK;
    };
    await rig.dataPath.connect({ ...TARGET, nrIoQueues: 2, queueSize: 64 });
    expect(rig.commands[0]?.args.slice(-2)).toEqual(["--nr-io-queues=2", "--queue-size=64"]);
    expect(rig.outcomes).toEqual(["ok"]);
  });

  test("already connected three times, and nothing in sysfs: UNAVAILABLE, no endless loop", async () => {
    rig.sysfs.rename("nqn.2019-01.com.example:other", HOST);
    rig.answer = () => ({ ...OK, code: 1, stderr: "already connected\n" });
    await expect(rig.dataPath.connect(TARGET)).rejects.toMatchObject({
      id: "deviceNotReady",
      message: expect.stringContaining("(no controller)"),
    });
    expect(ran()).toEqual([CONNECT, CONNECT, CONNECT]);
    expect(rig.outcomes).toEqual(["existing", "existing", "existing"]);
  });

  test("a refused connect is counted as failed, and its place is free again", async () => {
    rig.sysfs.rename("nqn.2019-01.com.example:other", HOST);
    const queue = createConnectQueue({ limit: 1, clock: rig.system.clock });
    const options = {
      nqnPrefix: PREFIX,
      connectQueue: queue,
      onConnect: (outcome: string) => rig.outcomes.push(outcome),
    };
    const path = createNvmeTcpDataPath(rig.system, options);
    rig.answer = () => ({
      ...OK,
      code: 1,
      stderr: "Failed to write to /dev/nvme-fabrics: Connection refused\n",
    });
    await expect(path.connect(TARGET)).rejects.toMatchObject({ id: "connectRefused" });
    rig.answer = () => {
      throw failure("deadlineExceeded", { what: "`nvme connect`", seconds: 30 });
    };
    await expect(path.connect(TARGET)).rejects.toMatchObject({ id: "deadlineExceeded" });
    expect(rig.outcomes).toEqual(["failed", "failed"]);
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  test("an aborted wait ends with the reason", async () => {
    rig.sysfs.state = "connecting";
    const controller = new AbortController();
    const reason = failure("shuttingDown", {});
    rig.meanwhile = () => controller.abort(reason);
    await expect(rig.dataPath.connect(TARGET, controller.signal)).rejects.toBe(reason);
  });
});
