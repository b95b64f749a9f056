import { expect, test } from "bun:test";
import { coverageText, parseLcov, ranges } from "./coverage.ts";

const REPORT = `TN:
SF:src/a/x.ts
FNF:4
FNH:3
DA:1,1
DA:2,0
DA:3,0
DA:5,0
LF:4
LH:1
end_of_record
TN:
SF:src/a/x.test.ts
DA:1,0
end_of_record
TN:
SF:src/b.ts
DA:1,7
end_of_record
`;

test("lines of src that no test reaches are listed as ranges, with sums; tests and generated code do not count", () => {
  const all = ["src/a/x.ts", "src/a/y.ts", "src/a/x.test.ts", "src/b.ts", "src/csi/gen/csi_pb.ts"];
  expect(coverageText(parseLcov(REPORT), all).split("\n")).toEqual([
    "src/a/x.ts: 2-3, 5",
    "src/a/y.ts: never loaded, or types only",
    "",
    "src/a: 25.0 % of 4 lines, 75.0 % of 4 functions",
    "src/b.ts: 100.0 % of 1 lines, 0.0 % of 0 functions",
    "coverage of src: 40.0 % of 5 lines, 75.0 % of 4 functions",
  ]);
});

test("an empty report is no division by zero", () => {
  expect(ranges([])).toBe("");
  expect(coverageText(parseLcov(""), [])).toContain("0.0 % of 0 lines, 0.0 % of 0 functions");
});
