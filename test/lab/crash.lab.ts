import { expect } from "bun:test";
import { block, type Capability, MIB, mount } from "../support/rpc.ts";
import { CrashingTools, type Moment } from "./crashing-tools.ts";
import { killEverywhere } from "./killing.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";

const NODE = "node-a";

/** A program's work is the same whatever filesystem follows, so that the moments are spread over the kinds. */
const KINDS: readonly (readonly [string, Capability, readonly Moment[]])[] = [
  ["ext4", mount(undefined, "ext4"), ["before", "during", "after"]],
  ["xfs", mount(undefined, "xfs"), ["during"]],
  ["block", block(), ["before", "after"]],
];

/** Not in containers: the programs that kill the node process are scripts, and the image has no shell. */
const OPTIONS = { nodes: [NODE], simulate: ["--switch", "online-resize=at-once"], containers: false };

lab("the node process is killed at every program of every verb", OPTIONS, (scenario) => {
  let tools: CrashingTools | undefined;
  for (const [kind, capability, moments] of KINDS) {
    for (const moment of moments) {
      scenario(
        `${kind}, killed ${moment} each: the repeated call succeeds, the data is intact`,
        async (world) => {
          const a = world.machine(NODE);
          tools ??= await CrashingTools.install(a);
          const volume = await LabVolume.create(world, `crash-${kind}-${moment}`, capability, {}, 320n * MIB);
          await volume.attach(NODE);
          const killedAt: Record<string, readonly string[]> = {};
          const run = async (
            name: string,
            verb: () => Promise<void>,
            undo: () => Promise<void>,
            prepare: () => Promise<void> = async () => {},
          ) => {
            if (tools === undefined) return;
            killedAt[name] = await killEverywhere(world, NODE, tools, moment, verb, undo, prepare);
          };
          // The first stage formats: a volume of its own for every place to die at.
          let fresh = 0;
          let other: LabVolume | undefined;
          const formatted = async () => {
            if (other === undefined) {
              fresh += 1;
              other = await LabVolume.create(
                world,
                `crash-${kind}-${moment}-${fresh}`,
                capability,
                {},
                320n * MIB,
              );
              await other.attach(NODE);
            }
            await other.stage(NODE);
          };
          await run("first stage", formatted, async () => {
            await other?.unstage(NODE);
            await other?.detach(NODE);
            await other?.delete();
            other = undefined;
          });
          await volume.stage(NODE);
          await volume.publish(NODE);
          const data = kind === "block" ? volume.target() : `${volume.target()}/data`;
          await a.sh(
            kind === "block"
              ? `head -c 4M /dev/urandom | dd of=${data} bs=1M oflag=direct iflag=fullblock status=none`
              : `head -c 4M /dev/urandom >${data}; sync`,
          );
          const checksum = () => a.sh(`head -c 4M ${data} | sha256sum`);
          const sum = await checksum();
          await volume.unpublish(NODE);
          await run(
            "publish",
            () => volume.publish(NODE),
            () => volume.unpublish(NODE),
          );
          await volume.publish(NODE);
          await run(
            "unpublish",
            () => volume.unpublish(NODE),
            () => volume.publish(NODE),
          );
          await volume.unpublish(NODE);
          await run(
            "unstage",
            () => volume.unstage(NODE),
            () => volume.stage(NODE),
          );
          await volume.unstage(NODE);
          await run(
            "stage",
            () => volume.stage(NODE),
            () => volume.unstage(NODE),
          );
          if (kind !== "block") {
            await run(
              "healing stage",
              () => volume.stage(NODE),
              () => volume.unstage(NODE),
              async () => {
                await volume.stage(NODE);
                // As if the kernel had given up: the device vanishes under its mount.
                await a.sh(`nvme disconnect -n ${volume.context(NODE).nqn}`);
              },
            );
          }
          await volume.stage(NODE);
          await volume.publish(NODE);
          let size = volume.sizeBytes;
          await run(
            "expand",
            async () => void (await volume.expandOnNode(NODE, size)),
            async () =>
              expect(BigInt(await a.sh(`blockdev --getsize64 ${await volume.device(NODE)}`))).toBe(size),
            async () => {
              size += 32n * MIB;
              await volume.expandOnRds(size);
            },
          );
          expect(await checksum()).toBe(sum);
          // Never a second filesystem, and every program was a place to die at.
          const all = Object.values(killedAt).flat();
          expect(killedAt.stage?.filter((line) => line.includes("mkfs"))).toEqual([]);
          expect(all.some((line) => line.includes("nvme connect"))).toBe(true);
          expect(all.some((line) => line.includes("nvme disconnect"))).toBe(true);
          if (kind !== "block") {
            expect(all.some((line) => line.includes(`mkfs.${kind}`))).toBe(true);
            expect(all.some((line) => /resize2fs|xfs_growfs/.test(line))).toBe(true);
          }
          await volume.down(NODE);
          await volume.delete();
          expect(await a.sh("ls /sys/class/nvme; grep kubelet /proc/mounts || true")).toBe("");
          console.log(
            `${kind}, ${moment}: killed at ${all.length} programs (${Object.entries(killedAt)
              .map(([verb, lines]) => `${verb} ${lines.length}`)
              .join(", ")})`,
          );
        },
      );
    }
  }
});
