import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ApiStatusError } from "./api-error.ts";
import { listAll } from "./list.ts";

describe("lists", () => {
  const pages = (items: readonly number[], size: number, expireAt: ReadonlySet<number>) => {
    let calls = 0;
    return async (token: string | undefined) => {
      calls += 1;
      if (token !== undefined && expireAt.has(calls)) throw new ApiStatusError(410, "", {});
      const start = Number(token ?? 0);
      const end = start + size;
      const next = end < items.length ? String(end) : "";
      return { items: items.slice(start, end), next };
    };
  };

  test("have every item once, in order, whatever the page size and whenever a token expires", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.nat(50),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.nat(12), { maxLength: 3 }),
        async (count, size, expired) => {
          const items = Array.from({ length: count }, (_, index) => index);
          const listed = await listAll(pages(items, size, new Set(expired)));
          expect(listed).toEqual({ items });
        },
      ),
    );
  });

  test("give up after the fourth expired snapshot", async () => {
    const read = pages([1, 2, 3], 1, new Set(Array.from({ length: 100 }, (_, index) => index)));
    expect(await listAll(read).catch((error: ApiStatusError) => error.status)).toBe(410);
  });
});
