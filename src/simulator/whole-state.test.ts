import { expect, test } from "bun:test";
import { type TestConsole, testConsole } from "../../test/support/simulator-console.ts";
import { wholeState } from "../../test/support/simulator-state.ts";
import { both, temporary, useSimulators } from "./simulator.fixture.ts";

useSimulators();

const add = "/disk/btrfs/subvolume/add fs=storage-pool-fs";
const disk = (slot: string, nonce: string, comment = "t=1795305600") =>
  `/disk/add type=file slot=${slot} file-path=storage-pool/${slot}/d file-size=1M mount-filesystem=no comment="${comment}" nvme-tcp-export=yes nvme-tcp-server-nqn="nqn.x:${slot}.1-${nonce}"`;
const cut = `${add} parent=v name=("s.1." . [:tonsec [:timestamp]]) read-only=yes`;

async function made(steps: (own: TestConsole) => Promise<unknown>): Promise<TestConsole> {
  const own = await testConsole();
  await steps(own);
  return own;
}

const usual = (more: (own: TestConsole) => Promise<unknown> = async () => {}) =>
  made(async (own) => {
    await own.put(`${add} name=v; ${disk("v", "0a0b0c0d")}; ${cut}`);
    await more(own);
  });

const stateOf = async (own: Promise<TestConsole>) => wholeState((await own).device);

test("two devices that hold the same are equal, whatever numbers, times and detours they had", async () => {
  const other = made(async (own) => {
    await own.put("/file/add name=storage-pool/gone type=directory; /file/remove storage-pool/gone");
    own.clock.advance(1_234_567);
    await own.put(`${add} name=w; /disk/btrfs/subvolume/remove [find where name=w]; ${add} name=v`);
    await own.put(`${disk("v", "ffffffff", "t=1795999999")}; ${cut}`);
    await own.device.writeFile("storage-pool/v/d", 0n, new Uint8Array(4096));
    await own.device.writeFile("storage-pool/v/d", 0n, "");
  });
  const state = await stateOf(usual());
  expect(state).toEqual(await stateOf(other));
  expect(state.subvolumes).toEqual([
    { pool: "storage-pool", fullname: "s.1.<time>", parent: "v", snapshot: true, readOnly: true },
    { pool: "storage-pool", fullname: "v", parent: "", snapshot: false, readOnly: false },
  ]);
  expect(state.disks).toMatchObject([
    {
      slot: "v",
      size: 1_048_576n,
      settings: { comment: "t=<time>", "nvme-tcp-server-nqn": "nqn.x:v.1-<random>" },
    },
  ]);
  expect(state.files.map(({ path, content }) => [path, content])).toEqual([
    ["storage-pool", ""],
    ["storage-pool/s.1.<time>", ""],
    ["storage-pool/s.1.<time>/d", "zeros"],
    ["storage-pool/v", ""],
    ["storage-pool/v/d", "zeros"],
  ]);
  expect(state.exports).toMatchObject([{ nqn: "nqn.x:v.1-<random>", slot: "v", sizeBytes: 1_048_576n }]);
});

test.each<[string, (own: TestConsole) => Promise<unknown>]>([
  ["a second snapshot that differs in its time only", (own) => own.put(cut)],
  ["a byte", (own) => own.device.writeFile("storage-pool/v/d", 77n, "x")],
  ["a setting", (own) => own.put("/disk/set v comment=other")],
  ["an export that is off", (own) => own.put("/disk/set v nvme-tcp-export=no")],
  ["a size", (own) => own.put("/disk/set v file-size=2M")],
  ["a directory", (own) => own.put("/file/add name=storage-pool/x type=directory")],
  ["a directory that is a subvolume", (own) => own.put(`${add} name=x`)],
  ["a subvolume less", (own) => own.put("/disk/btrfs/subvolume/remove [find where snapshot]")],
  ["a disk less", (own) => own.put("/disk/remove v")],
  ["a pool that is away", (own) => own.device.setPool("storage-pool", { mounted: false })],
])("a difference is seen: %s", async (_what, more) => {
  expect(await stateOf(usual(more))).not.toEqual(await stateOf(usual()));
});

test("a directory and a subvolume of one name differ, the place of a byte counts, a dead subvolume does not", async () => {
  const folder = made((own) => own.put("/file/add name=storage-pool/x type=directory"));
  expect(await stateOf(folder)).not.toEqual(await stateOf(made((own) => own.put(`${add} name=x`))));
  const byte = (at: bigint) => usual((own) => own.device.writeFile("storage-pool/v/d", at, "x"));
  expect(await stateOf(byte(0n))).not.toEqual(await stateOf(byte(8192n)));
  const dead = usual(async (own) => {
    own.switches.subvolumeRemoval = "dead";
    await own.put(`${add} name=x; /disk/btrfs/subvolume/remove [find where name=x]`);
    expect(own.device.subvolumes).toHaveLength(3);
  });
  expect(await stateOf(dead)).toEqual(await stateOf(usual()));
});

test("the state of a files backend survives a restart; a text of the caller's may be left out", async () => {
  const options = { backend: { kind: "files", dir: temporary() } as const };
  const [first, client] = await both(options);
  await client.exec(`${add} name=v; ${disk("v", "0a0b0c0d", "revision 1")}; ${cut}`);
  await first.device.writeFile("storage-pool/v/d", 5n, "bytes");
  const before = await wholeState(first.device);
  expect(before.files.at(-1)?.content).toMatch(/^[0-9a-f]{64}$/);
  await first.stop();
  const [second, again] = await both(options);
  expect(await wholeState(second.device)).toEqual(before);
  await again.exec('/disk/set v comment="revision 2"');
  expect(await wholeState(second.device)).not.toEqual(before);
  const normalise = (text: string) => text.replace(/revision \d/, "revision");
  const plain = await wholeState(second.device, normalise);
  expect(plain.disks[0]?.settings.comment).toBe("revision");
});
