import { expect, test } from "bun:test";
import { earlierId, RWO_MOUNT, type Swap, useSwap } from "../../src/cli/volumes/adopt.fixture.ts";
import { GIB, MIB } from "../support/rds-stack.ts";
import { blocksOf, readPage } from "./page.fixture.ts";

const start = useSwap();
const [A, B, C] = [earlierId(1), earlierId(2), earlierId(3)];

/** Times and epochs are those of the run. */
const timeless = (text: string) => text.replaceAll(/\b\d{9,10}\b/g, "N").trim();

/** A volume that node-a has, one that no node has and that is too small, and one that no PersistentVolume names. */
async function arrange(swap: Swap): Promise<void> {
  for (const id of [A, C]) await swap.earlier.create(id, GIB);
  await swap.earlier.create(B, 1536n * MIB);
  swap.pv(A);
  swap.pv(B, { capacity: "1536Mi" });
  swap.va(A, "node-a");
  swap.pod(A, "node-a");
}

test("docs/adopt.md shows what the commands print", async () => {
  const swap = await start();
  await arrange(swap);
  const printed = [
    `$ rds-csi volumes adopt --all\n${(await swap.adopt("--all")).out}`,
    `$ rds-csi volumes adopt --all --yes\n…\n${(await swap.adopt("--all", true)).out.replace(/^[\s\S]*?(?=Volume \S+ is adopted)/, "")}`,
  ];
  await swap.publish(B, "node-b", RWO_MOUNT);
  printed.push(`$ rds-csi volumes adopt --all --undo\n${(await swap.undo("--all")).out}`);
  const shown = blocksOf(await readPage("adopt.md")).filter(({ text }) => text.startsWith("$ rds-csi"));
  const known = (text: string) => timeless(text).replaceAll(/\.N-[0-9a-f]{8}/g, ".N-nonce");
  expect(shown.map(({ text }) => known(text))).toEqual(printed.map(known));
});
