import { expect, test } from "bun:test";
import fc from "fast-check";
import { memoryBackend } from "./memory.ts";
import { PAGE } from "./pages.ts";

const PAGES = 4;
const NAMES = ["a", "b", "c", "d", "e"];

/** A file of the model: its bytes, one value for each page, and which page it is; undefined was never written. */
interface Known {
  readonly isClone: boolean;
  pages: ({ readonly value: number; readonly page: object } | undefined)[];
}

type Step =
  | { readonly kind: "create"; readonly name: string }
  | { readonly kind: "remove"; readonly name: string }
  | { readonly kind: "clone"; readonly from: string; readonly to: string }
  | { readonly kind: "copy"; readonly from: string; readonly to: string }
  | { readonly kind: "write"; readonly name: string; readonly at: number; readonly value: number }
  | { readonly kind: "resize"; readonly name: string; readonly pages: number };

const name = fc.constantFrom(...NAMES);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constantFrom("create", "remove"), name }),
  fc.record({ kind: fc.constantFrom("clone", "copy"), from: name, to: name }),
  fc.record({
    kind: fc.constant("write" as const),
    name,
    at: fc.nat(PAGES - 1),
    value: fc.integer({ min: 1, max: 255 }),
  }),
  fc.record({ kind: fc.constant("resize" as const), name, pages: fc.integer({ min: 1, max: PAGES }) }),
) as fc.Arbitrary<Step>;

/** The bytes that the files take, each page once. */
function counted(files: ReadonlyMap<string, Known>, isWanted: (file: Known) => boolean): Set<object> {
  const pages = [...files.values()].filter(isWanted).flatMap((file) => file.pages);
  return new Set(pages.flatMap((one) => (one === undefined ? [] : [one.page])));
}

test("clones share pages until one of the two is written; each page counts once; all is given back", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 30, maxLength: 80 }), async (steps) => {
      const backend = memoryBackend();
      const known = new Map<string, Known>();
      const path = (file: string) => `pool/${file}`;
      const apply = async (one: Step): Promise<void> => {
        if (one.kind === "create") {
          if (known.has(one.name)) return;
          await backend.create(path(one.name), BigInt(PAGES * PAGE));
          known.set(one.name, { isClone: false, pages: Array.from({ length: PAGES }, () => undefined) });
          return;
        }
        if (one.kind === "clone" || one.kind === "copy") {
          const source = known.get(one.from);
          if (source === undefined || known.has(one.to)) return;
          if (one.kind === "clone") await backend.clone([[path(one.from), path(one.to)]]);
          else await backend.copy(path(one.from), path(one.to));
          const pages = source.pages.map((page) =>
            one.kind === "clone" || page === undefined ? page : { value: page.value, page: {} },
          );
          known.set(one.to, { isClone: one.kind === "clone", pages });
          return;
        }
        const file = known.get(one.name);
        if (file === undefined) return;
        if (one.kind === "remove") {
          await backend.remove(path(one.name));
          known.delete(one.name);
        } else if (one.kind === "resize") {
          await backend.resize(path(one.name), BigInt(one.pages * PAGE));
          file.pages = Array.from({ length: one.pages }, (_, at) => file.pages[at]);
        } else if (one.at < file.pages.length) {
          await backend.write(path(one.name), BigInt(one.at * PAGE), new Uint8Array(PAGE).fill(one.value));
          const before = file.pages[one.at]?.page;
          const holders = [...known.values()].filter((other) =>
            other.pages.some((page) => page?.page === before),
          );
          const own = before !== undefined && holders.length === 1 ? before : {};
          file.pages[one.at] = { value: one.value, page: own };
        }
      };
      const usage = () => backend.usage?.("pool");
      for (const one of steps) {
        await apply(one);
        const [all, ofFiles] = [counted(known, () => true), counted(known, (file) => !file.isClone)];
        expect(usage()).toEqual({
          all: BigInt(all.size * PAGE),
          clones: BigInt([...all].filter((page) => !ofFiles.has(page)).length * PAGE),
        });
        for (const [file, { pages }] of known) {
          const bytes = await backend.read(path(file), 0n, PAGES * PAGE);
          expect(bytes.length).toBe(pages.length * PAGE);
          for (const [at, page] of pages.entries())
            expect([bytes[at * PAGE], bytes[(at + 1) * PAGE - 1]]).toEqual([
              page?.value ?? 0,
              page?.value ?? 0,
            ]);
        }
      }
      for (const file of [...known.keys()]) await backend.remove(path(file));
      expect(usage()).toEqual({ all: 0n, clones: 0n });
    }),
    { numRuns: 150 },
  );
});

test("a clone that is cut within a shared page leaves its source whole", async () => {
  const backend = memoryBackend();
  await backend.create("pool/a", BigInt(PAGE));
  await backend.write("pool/a", 0n, new Uint8Array(PAGE).fill(7));
  await backend.clone([["pool/a", "pool/b"]]);
  await backend.resize("pool/b", 10n);
  await backend.resize("pool/b", BigInt(PAGE));
  expect((await backend.read("pool/a", 0n, PAGE)).every((byte) => byte === 7)).toBe(true);
  expect((await backend.read("pool/b", 0n, 12)).join()).toBe("7,7,7,7,7,7,7,7,7,7,0,0");
});
