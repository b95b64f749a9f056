import { describe, expect, test } from "bun:test";
import { withServer } from "../../test/support/csi-server.ts";
import {
  GetPluginCapabilitiesResponseSchema,
  GetPluginInfoResponseSchema,
  Identity,
  ProbeResponseSchema,
} from "./gen/csi_pb.ts";
import { checkDriverName, identityService } from "./identity.ts";
import { createReadyGate } from "./ready.ts";

describe("Identity over a socket", () => {
  test("name, version, capabilities and readiness", async () => {
    const gate = createReadyGate();
    const bound = identityService({
      name: "rds.csi.srvlab.io",
      vendorVersion: "1.2.3",
      manifest: { commit: "abc" },
      isReady: gate.isReady,
    });
    await withServer([bound], async (client) => {
      const info = await client.start(Identity, "getPluginInfo", GetPluginInfoResponseSchema, {}).result;
      expect(info.name).toBe("rds.csi.srvlab.io");
      expect(info.vendorVersion).toBe("1.2.3");
      expect(info.manifest).toEqual({ commit: "abc" });
      const { capabilities } = await client.start(
        Identity,
        "getPluginCapabilities",
        GetPluginCapabilitiesResponseSchema,
        {},
      ).result;
      const shown: unknown = capabilities.map(({ type }) => [type.case, type.value?.type]);
      expect(shown).toEqual([
        ["service", 1],
        ["volumeExpansion", 1],
      ]);

      const ready = async () => (await client.start(Identity, "probe", ProbeResponseSchema, {}).result).ready;
      expect(await ready()).toBe(false);
      gate.open();
      expect(await ready()).toBe(true);
      gate.close();
      expect(await ready()).toBe(false);
    });
  });
});

test("driver names", () => {
  for (const good of ["a", "rds.csi.srvlab.io", `a${"b".repeat(61)}c`, "A-1.b"]) checkDriverName(good);
  for (const bad of ["", ".a", "a.", "-a", "a-", "a_b", "a b", "é.x", `a${"b".repeat(62)}c`, "a\n"]) {
    expect(() => checkDriverName(bad)).toThrow("driver name is invalid");
  }
});
