import { describe, expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ManualClock } from "../../../test/support/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { fakeCall, recordingLogger } from "../call.fixture.ts";
import {
  CreateVolumeRequestSchema,
  CreateVolumeResponseSchema,
  DeleteVolumeRequestSchema,
  DeleteVolumeResponseSchema,
  NodeGetVolumeStatsRequestSchema,
} from "../gen/csi_pb.ts";
import { logInterceptor } from "./log.ts";

function setup(options: { requests?: boolean } = {}) {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const interceptor = logInterceptor({ clock, repeatWindowMs: 1_000, ...options });
  const remove = (volumeId: string, error?: unknown, secrets = {}) =>
    interceptor(
      fakeCall("DeleteVolume", DeleteVolumeRequestSchema, { volumeId, secrets }, { logger }),
      async () => {
        await clock.advance(12.34);
        if (error !== undefined) throw error;
        return create(DeleteVolumeResponseSchema);
      },
    ).catch(() => {});
  return { clock, logger, lines: logger.lines, interceptor, remove };
}

const notFound = () => failure("volumeNotFound", { volume: "v" }, new Error("cause text"));

describe("logInterceptor", () => {
  test("one line per call: code, duration, volume", async () => {
    const { lines, remove } = setup();
    await remove("csi-1");
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({
      level: "info",
      message: "rpc",
      fields: { code: "OK", durationMs: 12.3, volume: "csi-1" },
    });
  });

  test("the volume of a CreateVolume comes from the answer; polled RPCs are debug lines", async () => {
    const { lines, logger, interceptor } = setup();
    const answer: MessageInitShape<typeof CreateVolumeResponseSchema> = { volume: { volumeId: "csi-2" } };
    await interceptor(
      fakeCall("CreateVolume", CreateVolumeRequestSchema, { name: "n" }, { logger }),
      async () => create(CreateVolumeResponseSchema, answer),
    );
    await interceptor(
      fakeCall("NodeGetVolumeStats", NodeGetVolumeStatsRequestSchema, { volumeId: "csi-3" }, { logger }),
      async () => create(DeleteVolumeResponseSchema),
    );
    expect(lines.map(({ level, fields }) => [level, fields.volume])).toEqual([
      ["info", "csi-2"],
      ["debug", "csi-3"],
    ]);
  });

  test("a catalogue error is a warning with its id and cause; a defect is an error with its stack", async () => {
    const { lines, remove } = setup();
    await remove("csi-1", notFound());
    await remove("csi-1", new TypeError("boom"));
    expect(lines[0]).toMatchObject({
      level: "warn",
      message: "rpc failed",
      fields: { code: "NOT_FOUND", errorId: "volumeNotFound", cause: "cause text" },
    });
    expect(lines[0]?.fields.stack).toBeUndefined();
    expect(lines[1]).toMatchObject({ level: "error", fields: { code: "INTERNAL" } });
    expect(String(lines[1]?.fields.stack)).toContain("log.test.ts");
  });

  test("equal errors are counted, not printed; the count comes once the window has passed", async () => {
    const { clock, lines, remove } = setup();
    for (let each = 0; each < 5; each += 1) await remove("csi-1", notFound());
    await remove("csi-2", notFound());
    expect(lines.map(({ fields }) => fields.volume)).toEqual(["csi-1", "csi-2"]);
    await clock.advance(2_000);
    await remove("csi-3");
    expect(lines).toHaveLength(4);
    expect(lines[2]).toMatchObject({ message: "rpc failed again", fields: { volume: "csi-1", times: 4 } });
    await remove("csi-1", notFound());
    expect(lines[4]).toMatchObject({ message: "rpc failed", fields: { volume: "csi-1" } });
  });

  test("requests only when asked for, redacted, capped", async () => {
    const { lines, remove } = setup();
    await remove("csi-1");
    expect(lines[0]?.fields.request).toBeUndefined();
    const verbose = setup({ requests: true });
    await verbose.remove("csi-1", undefined, { password: "hunter2" });
    expect(verbose.lines[0]?.fields.request).toBe('{"volume_id":"csi-1","secrets":"***"}');
    await verbose.remove("x".repeat(100_000));
    expect(String(verbose.lines[1]?.fields.request).length).toBeLessThan(4_200);
    expect(String(verbose.lines[1]?.fields.volume)).toHaveLength(256);
  });
});
