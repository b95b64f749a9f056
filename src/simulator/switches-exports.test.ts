import { describe, expect, test } from "bun:test";
import { addLine } from "../../test/support/simulator-console.ts";
import { withSwitches } from "./switches.fixture.ts";
import type { Switches } from "./switches.ts";

describe("each switch of exports has an effect", () => {
  test("connected-hosts", async () => {
    const box = await withSwitches({ connectedHosts: "busy" });
    await box.put(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    box.device.connectHost("n", "host");
    const busy = "failure: could not unmount, stop using it first";
    expect(await box.fail("/disk/set a nvme-tcp-export=no file-size=2M")).toBe(busy);
    expect(await box.fail("/disk/remove a")).toBe(busy);
    expect(box.device.disk("a")).toMatchObject({
      exported: true,
      connectedHosts: ["host"],
      size: 1_048_576n,
    });
    box.device.disconnectHost("n", "host");
    await box.put("/disk/remove a");
  });

  test("shrink", async () => {
    const box = await withSwitches({ shrink: "shrinks" });
    await box.put(addLine("a"));
    await box.put("/disk/set a file-size=4096");
    expect(box.device.disk("a")?.size).toBe(4096n);
  });

  test("online-resize", async () => {
    const box = await withSwitches({ onlineResize: "at-once" });
    await box.put(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
    expect(box.device.liveExports[0]?.sizeBytes).toBe(1_048_576n);
    await box.put("/disk/set a file-size=2M");
    expect(box.device.liveExports[0]?.sizeBytes).toBe(2_097_152n);
  });

  test("default-nqn", async () => {
    const nqn = async (switches: Partial<Switches>) => {
      const box = await withSwitches(switches);
      await box.put(addLine("a", "nvme-tcp-export=yes"));
      return box.device.liveExports[0]?.nqn;
    };
    expect(await nqn({})).toBe("a");
    expect(await nqn({ defaultNqn: "mikrotik" })).toBe("nqn.2000-02.com.mikrotik:a");
  });

  test("allow-host-name", async () => {
    const admitted = async (allowHostName: Switches["allowHostName"]) => {
      const box = await withSwitches({ allowHostName });
      await box.put(
        addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n" nvme-tcp-server-allow-host-name="h1,h2"'),
      );
      return ["h1", "h2", "h3", "h1,h2"].filter((host) => box.device.connectHost("n", host));
    };
    expect(await admitted("exact")).toEqual(["h1,h2"]);
    expect(await admitted("comma-list")).toEqual(["h1", "h2"]);
    expect(await admitted("ignored")).toEqual(["h1", "h2", "h3", "h1,h2"]);
  });

  test("re-export", async () => {
    const run = async (reExport: Switches["reExport"], between = "") => {
      const box = await withSwitches({ reExport });
      await box.put(addLine("a", "nvme-tcp-export=yes nvme-tcp-server-nqn=n"));
      expect(box.device.connectHost("n", "nqn.host")).toBe(true);
      await box.put(
        `/disk/set a file-size=2097152; /disk/set a nvme-tcp-export=no; ${between}/disk/set a nvme-tcp-export=yes`,
      );
      const disk = box.device.disk("a");
      return [disk?.exportedSize, disk?.connectedHosts.length];
    };
    expect(await run("effective")).toEqual([2_097_152n, 0]);
    expect(await run("coalesced")).toEqual([1_048_576n, 1]);
    expect(await run("coalesced", ":delay 500ms; ")).toEqual([2_097_152n, 0]);
    const box = await withSwitches({ reExport: "coalesced" });
    await box.put(addLine("a", "nvme-tcp-export=yes nvme-tcp-server-nqn=n"));
    box.device.connectHost("n", "nqn.host");
    // Off and on in two lines, and a name that is another one, are missed all the same.
    await box.put("/disk/set a nvme-tcp-export=no");
    expect([box.device.disk("a")?.connectedHosts, box.device.disk("a")?.exportedSize]).toEqual([
      [],
      undefined,
    ]);
    await box.put("/disk/set a nvme-tcp-export=yes");
    box.device.connectHost("n", "nqn.host");
    await box.put("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes nvme-tcp-server-nqn=m");
    expect(box.device.disk("a")?.connectedHosts).toEqual([]);
    expect(box.device.connectHost("n", "nqn.host")).toBe(false);
    expect(box.device.connectHost("m", "nqn.host")).toBe(true);
    await box.put("/disk/set a nvme-tcp-export=no; /disk/remove a");
    expect(box.device.connectHost("m", "nqn.host")).toBe(false);
  });

  test("revoked-host", async () => {
    const left = async (revokedHost: Switches["revokedHost"], list: string) => {
      const box = await withSwitches({ revokedHost, allowHostName: "comma-list" });
      await box.put(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n"'));
      for (const host of ["h1", "h2"]) box.device.connectHost("n", host);
      await box.put(`/disk/set a nvme-tcp-server-allow-host-name="${list}"`);
      return box.device.hosts.connected("n");
    };
    expect(await left("dropped", "h2,h3")).toEqual(["h2"]);
    expect(await left("dropped", "")).toEqual(["h1", "h2"]);
    expect(await left("stays", "h2,h3")).toEqual(["h1", "h2"]);
  });

  test("device-identity", async () => {
    const identities = async (deviceIdentity: Switches["deviceIdentity"]) => {
      const box = await withSwitches({ deviceIdentity });
      await box.put(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n.1"'));
      const now = () => box.device.liveExports[0]?.identity;
      const first = now();
      await box.put("/disk/set a comment=x");
      const same = now() === first;
      await box.put("/disk/set a nvme-tcp-export=no; /disk/set a nvme-tcp-export=yes");
      const again = now() === first;
      await box.put('/disk/set a nvme-tcp-server-nqn="n.2"');
      return [same, again, now() === first];
    };
    expect(await identities("slot")).toEqual([true, true, true]);
    expect(await identities("nqn")).toEqual([true, true, false]);
    expect(await identities("random")).toEqual([true, false, false]);
  });

  test("host-password", async () => {
    const admitted = async (hostPassword: Switches["hostPassword"]) => {
      const box = await withSwitches({ hostPassword });
      await box.put(addLine("a", 'nvme-tcp-export=yes nvme-tcp-server-nqn="n" nvme-tcp-server-password="p"'));
      return [box.device.connectHost("n", "h"), box.device.connectHost("n", "h", "p")];
    };
    expect(await admitted("not-enforced")).toEqual([true, true]);
    expect(await admitted("enforced")).toEqual([false, true]);
  });
});
