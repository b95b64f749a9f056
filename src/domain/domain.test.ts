import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { catalogue, type ErrorId } from "./errors/catalogue.ts";
import { failure, isFailure, toDriverError } from "./errors/driver-error.ts";
import { callRemedy, commandRemedy } from "./errors/entry.ts";
import { GrpcCode, grpcCodeName } from "./errors/grpc-code.ts";
import { filesystemUuidOf } from "./filesystem-uuid.ts";
import { hostIdentity, uuidV5 } from "./host-identity.ts";
import { decodePublishContext, encodePublishContext, type PublishContext } from "./publish-context.ts";
import { counted, sentence, withoutStop } from "./sentence.ts";
import { parseVolumeId, volumeIdFromName } from "./volume-id.ts";

describe("volume handles", () => {
  test("are derived from the name and fit a RouterOS slot", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (name) => {
        const id = volumeIdFromName(name);
        expect(id).toMatch(/^csi-[0-9a-f]{28}$/);
        expect(id.length).toBe(32);
        expect(parseVolumeId(id)).toBe(id);
        expect(volumeIdFromName(name)).toBe(id);
      }),
    );
  });

  test("the derivation never changes: volumes in use depend on it", () => {
    expect(volumeIdFromName("pvc-3f0a3c1d") as string).toBe("csi-c9904cfbdfc5886baef055ae8038");
  });

  test("anything else is no handle", () => {
    for (const text of [
      "",
      "csi-",
      "csi-0123",
      "CSI-0000000000000000000000000000",
      "csi-000000000000000000000000000g",
      "../csi-0000000000000000000000000000",
      "pvc-1",
      "csi-0000000000000000000000000000\n",
    ]) {
      expect({ text, id: parseVolumeId(text) }).toEqual({ text, id: undefined });
    }
    expect(parseVolumeId("pvc-0f8fad5b-d9cb-469f-a165-70867728950e") as string).toBe(
      "pvc-0f8fad5b-d9cb-469f-a165-70867728950e",
    );
  });
});

describe("host identity", () => {
  test("is UUID version 5 (RFC 9562, appendix A.4)", () => {
    expect(uuidV5("6ba7b810-9dad-11d1-80b4-00c04fd430c8", "www.example.com")).toBe(
      "2ed6657d-e927-568b-95e1-2665a8aea6a2",
    );
  });

  test("differs by cluster and node, and no pair of them can be confused", () => {
    const seen = new Set([
      hostIdentity("a", "b").hostNqn,
      hostIdentity("a", "c").hostNqn,
      hostIdentity("b", "b").hostNqn,
      hostIdentity("a/b", "c").hostNqn,
      hostIdentity("a", "b/c").hostNqn,
    ]);
    expect(seen.size).toBe(5);
    const { hostNqn, hostId } = hostIdentity("prod", "node-1");
    expect(hostNqn).toBe(`nqn.2014-08.org.nvmexpress:uuid:${hostId}`);
    expect(hostNqn.length).toBe(68);
  });
});

describe("publish context", () => {
  const context: PublishContext = {
    nqn: "nqn.2000-02.com.mikrotik:csi-0123456789012345678901234567.3",
    address: "192.0.2.1",
    port: 4420,
    hostNqn: hostIdentity("prod", "n").hostNqn,
    sizeBytes: 9_007_199_254_740_993n,
    filesystemState: "used",
    ctrlLossTmo: -1,
    reconnectDelay: 5,
    keepAliveTmo: 5,
    fastIoFailTmo: -1,
    nrIoQueues: 0,
    queueSize: 0,
    readonly: false,
  };

  test("round-trips", () => {
    expect(decodePublishContext(encodePublishContext(context))).toEqual(context);
    const readonly = encodePublishContext({ ...context, readonly: true });
    expect(decodePublishContext(readonly)).toEqual({ ...context, readonly: true });
    expect(() => decodePublishContext({ ...readonly, readonly: "yes" })).toThrow("publish_context.readonly");
  });

  test("property: round-trips, whatever the connection's settings are", () => {
    const tmo = fc.integer({ min: -1, max: 86_400 });
    const settings = fc.record({
      ctrlLossTmo: tmo,
      reconnectDelay: fc.integer({ min: 1, max: 300 }),
      keepAliveTmo: fc.integer({ min: 1, max: 300 }),
      fastIoFailTmo: tmo,
      nrIoQueues: fc.nat(1_024),
      queueSize: fc.oneof(fc.constant(0), fc.integer({ min: 16, max: 1_024 })),
    });
    fc.assert(
      fc.property(settings, (some) => {
        const full = { ...context, ...some };
        expect(decodePublishContext(encodePublishContext(full))).toEqual(full);
      }),
    );
  });

  test("controllers and nodes of different versions understand each other", () => {
    const first = ["nqn", "address", "port", "hostNqn", "sizeBytes", "filesystemState"].concat(
      "ctrlLossTmo",
      "reconnectDelay",
      "keepAliveTmo",
    );
    // A volume that does not use the later settings has the context that it always had.
    expect(Object.keys(encodePublishContext(context)).toSorted()).toEqual(first.toSorted());
    const used = encodePublishContext({ ...context, fastIoFailTmo: 0, nrIoQueues: 2, queueSize: 16 });
    expect(used).toMatchObject({ fastIoFailTmo: "0", nrIoQueues: "2", queueSize: "16" });
    expect(decodePublishContext({ ...used, aKeyOfTheFuture: "x" })).toMatchObject({ queueSize: 16 });
    for (const [key, bad] of [
      ["fastIoFailTmo", "-2"],
      ["nrIoQueues", "-1"],
      ["queueSize", "15"],
      ["queueSize", "1025"],
    ] as const) {
      expect(() => decodePublishContext({ ...used, [key]: bad })).toThrow(`publish_context.${key}`);
    }
  });

  test("the UUID of a clone's filesystem: left out without one, checked, and the same for ever", () => {
    const uuid = filesystemUuidOf("csi-0123456789012345678901234567");
    expect(uuid).toBe("bbd888b6-efb9-47a2-a8ce-441b3a7de507");
    expect(filesystemUuidOf("csi-0123456789012345678901234568")).not.toBe(uuid);
    const map = encodePublishContext({ ...context, filesystemUuid: uuid });
    expect(map.filesystemUuid).toBe(uuid);
    expect(decodePublishContext(map)).toEqual({ ...context, filesystemUuid: uuid });
    expect(encodePublishContext({ ...context, filesystemUuid: undefined })).toEqual(
      encodePublishContext(context),
    );
    for (const bad of ["", "generate", uuid.toUpperCase(), `${uuid}0`, `0${uuid}`, uuid.slice(1), "nil"])
      expect(() => decodePublishContext({ ...map, filesystemUuid: bad })).toThrow(
        "publish_context.filesystemUuid",
      );
  });

  test("each key of the first version is required, every key is checked, and the error names it", () => {
    for (const key of Object.keys(encodePublishContext(context))) {
      const { [key]: _, ...rest } = encodePublishContext(context);
      expect(() => decodePublishContext(rest)).toThrow(`publish_context.${key} is required`);
    }
    for (const key of Object.keys(context)) {
      for (const bad of ["$(reboot)", "-0", "x".repeat(300), "1e3", " "]) {
        expect(() => decodePublishContext({ ...encodePublishContext(context), [key]: bad })).toThrow(
          `publish_context.${key}`,
        );
      }
    }
  });
});

describe("the error catalogue", () => {
  test("every entry has a code, a message and a remedy", () => {
    for (const [id, entry] of Object.entries(catalogue)) {
      expect({ id, name: grpcCodeName(entry.code) }).toEqual({ id, name: expect.any(String) });
      for (const remedy of [callRemedy(entry), commandRemedy(entry)]) expect(remedy).toMatch(/[.]$/);
    }
  });

  test("a failure says what failed, then what to do", () => {
    const error = failure("volumeNotFound", { volume: "csi-1" });
    expect(error.message).toBe(
      "volume csi-1 does not exist on the RDS. Check the volume handle; `rds-csi volumes list` shows what exists.",
    );
    expect([error.code, isFailure(error, "volumeNotFound"), isFailure(error, "poolFull" as ErrorId)]).toEqual(
      [GrpcCode.NOT_FOUND, true, false],
    );
  });

  test("what is not from the catalogue is internal", () => {
    expect(toDriverError(new TypeError("x is undefined")).id).toBe("internal");
    expect(toDriverError("boom").code).toBe(GrpcCode.INTERNAL);
  });
});

describe("sentences", () => {
  test("have one full stop, whatever the text of somebody else ends with", () => {
    for (const text of ["a. b", "a. b.", "a. b..", "a. b.\n", "a. b. \r\n"]) {
      expect(sentence(text)).toBe("a. b.");
      expect(withoutStop(text)).toBe("a. b");
    }
    expect(withoutStop(".".repeat(100_000))).toBe("");
  });

  test("of an error: what failed and what to do are parted by one full stop", () => {
    const error = failure("kubernetesUnavailable", {
      verb: "get",
      resource: "node a",
      reason: "it is down.\n",
    });
    expect(error.summary).toEndWith("it is down");
    expect(error.message).toBe(`${error.summary}. ${error.remedy}`);
  });
});

test("a count agrees with its noun", () => {
  expect([0, 1, 2].map((count) => counted(count, "process", "processes"))).toEqual([
    "0 processes",
    "1 process",
    "2 processes",
  ]);
});
