import { expect, test } from "bun:test";
import { Repeats } from "./repeats.ts";

test("first, held back, counted, first again", () => {
  const repeats = new Repeats<string>(100);
  expect(repeats.note("a", "one", 0)).toBe(true);
  expect(repeats.note("a", "two", 99)).toBe(false);
  expect(repeats.note("b", "other", 99)).toBe(true);
  expect(repeats.expired(99)).toEqual([]);
  expect(repeats.expired(100)).toEqual([{ detail: "two", times: 1 }]);
  expect(repeats.note("a", "three", 100)).toBe(true);
});

test("a kind that was not held back expires without a word", () => {
  const repeats = new Repeats<string>(100);
  repeats.note("a", "one", 0);
  expect(repeats.expired(1_000)).toEqual([]);
});

test("a bounded number of kinds: the oldest makes room and its count is not lost", () => {
  const repeats = new Repeats<string>(1_000_000, 3);
  repeats.note("first", "first", 0);
  repeats.note("first", "first", 1);
  for (let each = 0; each < 10; each += 1) {
    repeats.note(`kind ${each}`, "x", 2);
    const expired = repeats.expired(2);
    if (each === 2) expect(expired).toEqual([{ detail: "first", times: 1 }]);
    else expect(expired).toEqual([]);
  }
  expect(repeats.note("first", "first", 3)).toBe(true);
});
