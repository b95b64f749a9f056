import { describe, expect, test } from "bun:test";
import { addLine } from "../../test/support/simulator-console.ts";
import { until } from "../../test/support/until.ts";
import { both, useSimulators } from "./simulator.fixture.ts";
import { withSwitches } from "./switches.fixture.ts";

useSimulators();

const MIB = 1_048_576;

describe("/disk/copy with offsets", () => {
  const filled = async (switches: Parameters<typeof withSwitches>[0] = {}) => {
    const box = await withSwitches(switches);
    await box.put(`${addLine("a")}; ${addLine("b")}`);
    await box.device.writeFile("storage-pool/a.img", 0n, "0123456789");
    await box.device.writeFile("storage-pool/b.img", 0n, "abcdefghij");
    const target = async () =>
      Buffer.from(await box.device.readFile("storage-pool/b.img", 0n, 10)).toString("latin1");
    return { box, target };
  };

  test("moves these bytes and no others", async () => {
    const { box, target } = await filled();
    const copied = await box.put("/disk/copy src=a dst=b src-offset=2 dst-offset=5 size=3");
    expect([copied, await target()]).toEqual(["0 / 3 (0%)\n3 / 3 (100%)", "abcde234ij"]);
    await box.put("/disk/copy src=a dst=b src-offset=8 dst-offset=8");
    expect(await target()).toBe("abcde23489");
    expect(await box.fail(`/disk/copy src=a dst=b src-offset=${MIB - 1} size=2`)).toBe(
      "failure: source is too small",
    );
    expect(await box.fail(`/disk/copy src=a dst=b dst-offset=${MIB - 1} size=2`)).toBe(
      "failure: destination is too small",
    );
    expect(await target()).toBe("abcde23489");
  });

  test.each([
    [60, "abcdefghij"],
    [0, "0123456789"],
  ])(
    "a power loss takes back what was copied in the last %d seconds; items stay",
    async (seconds, expected) => {
      const [simulator, client] = await both();
      const { device } = simulator;
      await client.exec(`${addLine("a")}; ${addLine("b")}`);
      await device.writeFile("storage-pool/a.img", 0n, "0123456789");
      await device.writeFile("storage-pool/b.img", 0n, "abcdefghij");
      await client.exec("/disk/copy src=a dst=b");
      const [disks, { bootedAt }] = [device.disks, device];
      await simulator.powerLoss(seconds);
      const bytes = await device.readFile("storage-pool/b.img", 0n, 10);
      expect(Buffer.from(bytes).toString("latin1")).toBe(expected);
      expect(device.disks).toEqual(disks);
      expect(device.bootedAt).toBeGreaterThan(bootedAt);
    },
  );

  test("holes stay holes", async () => {
    const { box } = await filled({ allocation: "sparse" });
    await box.put("/disk/copy src=a dst=b");
    await box.device.fileStore.refresh();
    expect(box.device.file("storage-pool/b.img")?.charged).toBe(4096n);
  });

  test("copy-status", async () => {
    const line = "/disk/copy src=a dst=b size=1048576";
    expect(await (await filled({ copyStatus: "human" })).box.put(line)).toBe(
      "0.0MiB / 1.0MiB (0%)\n1.0MiB / 1.0MiB (100%)",
    );
    expect(await (await filled({ copyStatus: "none" })).box.put(line)).toBe("");
  });
});

describe("a copy that takes time", () => {
  const half = (text: string) => text.slice(0, MIB / 2);
  const running = async (switches: Parameters<typeof withSwitches>[0]) => {
    const [simulator, client] = await both({ switches: { copyMs: 400, ...switches } });
    const { device } = simulator;
    await client.exec(`${addLine("a")}; ${addLine("b")}`);
    await device.writeFile("storage-pool/a.img", 0n, "x".repeat(MIB));
    const content = async () =>
      Buffer.from(await device.readFile("storage-pool/b.img", 0n, MIB)).toString("latin1");
    const given = client.exec("/disk/copy src=a dst=b").catch(() => undefined);
    await until("a part is copied", async () => (await content()).startsWith("x"));
    return { simulator, client, given, content };
  };

  test("lets other lines run, and prints a line for each part", async () => {
    const { client, given, content } = await running({});
    expect((await client.exec(":put 1")).stdout).toBe("1\r\n");
    expect(await content()).not.toBe("x".repeat(MIB));
    const lines = (await given)?.stdout.trim().split("\r\n") ?? [];
    expect(lines).toHaveLength(9);
    expect(lines.at(-1)).toBe(`${MIB} / ${MIB} (100%)`);
    expect(await content()).toBe("x".repeat(MIB));
  });

  test.each(["aborted", "completes"] as const)("its client leaves: %s", async (clientDisconnect) => {
    const { simulator, client, given, content } = await running({ clientDisconnect });
    client.close();
    await given;
    await until("the line has ended", () =>
      simulator.commands.every(({ finishedAt }) => finishedAt !== undefined),
    );
    const left = await content();
    expect(half(left).startsWith("x")).toBe(true);
    expect(left === "x".repeat(MIB)).toBe(clientDisconnect === "completes");
  });

  test.each(["busy", "ends", "goes-on"] as const)("copy-in-use: %s", async (copyInUse) => {
    const { client, given, content } = await running({ copyInUse });
    const removed = (await client.exec("/disk/remove [find where slot=b]")).stdout;
    expect(removed.trim()).toBe(
      copyInUse === "busy" ? "failure: could not unmount, stop using it first" : "",
    );
    const answer = (await given)?.stdout ?? "";
    const isWhole = copyInUse !== "ends";
    expect(answer.includes("(100%)")).toBe(isWhole);
    expect(answer.includes("has gone while it was copied")).toBe(!isWhole);
    expect((await content()) === "x".repeat(MIB)).toBe(isWhole);
  });
});
