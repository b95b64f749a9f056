import { expect, test } from "bun:test";
import { EXPERIMENTS } from "./catalogue.ts";
import { probed } from "./probe.fixture.ts";
import { redacted, Transcript } from "./transcript.ts";

test.each([
  ["connect 192.0.2.7 failed", "connect <address> failed"],
  ["fe80:0:0:0:1:2:3:4 and 2001:db8:1:2:3:4:5:6", "<address> and <address>"],
  ["02:00:00:77:00:01", "<mac>"],
  ["5532da6c-3baa-5d0a-9325-7a23736abbb3", "<uuid>"],
  ['model="RAID6" serial="S1"', 'model="<hidden>" serial="<hidden>"'],
  [`SHA256:${"A".repeat(43)}`, "<fingerprint>"],
  ["user csi-admin, group csi-admin", "user <hidden>, group <hidden>"],
  // What the driver is judged by stays.
  ["7.24.5 (stable)", "7.24.5 (stable)"],
  [
    "failure: already have such entry (/disk/add; line 1)",
    "failure: already have such entry (/disk/add; line 1)",
  ],
  ["22:15:07 size=1 099 511", "22:15:07 size=1 099 511"],
])("%s becomes %s", (text, wanted) => {
  expect(redacted(text, ["csi-admin", ""])).toBe(wanted);
});

test("long texts are cut, and private ones are only counted", () => {
  const transcript = new Transcript();
  const answer = { stdout: "x".repeat(1_000), stderr: "", exitCode: undefined, tookMs: 1.6 };
  transcript.add(":put 1", answer, false);
  transcript.add(":put 2", answer, true);
  expect(transcript.redacted([])).toEqual([
    {
      line: ":put 1",
      stdout: `${"x".repeat(400)}... (1000 characters)`,
      stderr: "",
      exitCode: null,
      tookMs: 2,
    },
    { line: ":put 2", stdout: "(1000 characters, not shown)", stderr: "", exitCode: null, tookMs: 2 },
  ]);
});

test("nothing of a device's volumes, addresses and users is in the transcript of a probe", async () => {
  const device = await probed({
    pools: [
      { slot: "storage-pool", fs: "btrfs", size: 1n << 34n },
      { slot: "secret-pool", fs: "xfs", size: 1n << 34n },
    ],
  });
  try {
    const theirs = `/disk/add type=file slot=csi-0123456789abcdef0123456789ab file-path=storage-pool/secret.img file-size=1M comment="claim secret-claim"`;
    await device.another().bench.raw(theirs);
    await device.run(EXPERIMENTS.filter(({ stage }) => stage === "read-only"));
    const text = JSON.stringify(device.bench.transcript.redacted(["csi-probe-user"]));
    expect(text.length).toBeGreaterThan(5_000);
    const seen = ["secret-pool", "secret-claim", "secret.img", device.simulator.host].filter((word) =>
      text.includes(word),
    );
    expect(seen).toEqual([]);
  } finally {
    await device.end();
  }
});
