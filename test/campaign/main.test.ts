import { expect, test } from "bun:test";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Glob } from "bun";
import { noDevices, shortDirectory } from "../support/executable.ts";
import { cleanUp, loopsBelow, mountsBelow, processesBelow } from "../support/leftovers.ts";
import { until } from "../support/until.ts";

test.skipIf(noDevices !== "")(
  `a second signal ends the campaign at once, with its processes, mounts and loop devices ${noDevices}`.trim(),
  async () => {
    const base = await shortDirectory();
    const temporary = join(base, "t");
    await mkdir(temporary);
    const campaign = Bun.spawn(
      [
        process.execPath,
        join(import.meta.dirname, "main.ts"),
        "--seed",
        "1",
        "--seconds",
        "60",
        "--jobs",
        "2",
        "--keep",
        base,
      ],
      { env: { PATH: process.env.PATH ?? "", TMPDIR: temporary }, stdout: "ignore", stderr: "inherit" },
    );
    try {
      await until("a volume is mounted", async () => (await mountsBelow(base)).length > 0);
      expect((await loopsBelow(base)).length).toBeGreaterThan(0);
      expect((await processesBelow(base)).length).toBeGreaterThan(4);
      campaign.kill("SIGTERM");
      campaign.kill("SIGINT");
      expect(await campaign.exited).toBe(130);
      expect(await mountsBelow(base)).toEqual([]);
      expect(await loopsBelow(base)).toEqual([]);
      expect(await processesBelow(base)).toEqual([]);
      expect(await readdir(temporary)).toEqual([]);
    } finally {
      campaign.kill("SIGKILL");
      await campaign.exited;
      for (const stand of new Glob("*/*/s").scanSync({ cwd: temporary, onlyFiles: false, absolute: true }))
        await cleanUp(stand);
      await rm(base, { recursive: true, force: true });
    }
  },
  60_000,
);
