import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { imagePage, withoutFigures } from "./docs.ts";
import type { Report } from "./report.ts";

// write-docs.ts [--check] FILE: docs/image.md from the FILE that scripts/image wrote. With --check, versions and sizes may differ.
const PAGE = "docs/image.md";
const file = process.argv.slice(2).find((argument) => !argument.startsWith("--")) ?? "";
const reports = await readFile(file, "utf8").then(
  (text) => JSON.parse(text) as Report[],
  () => undefined,
);
if (reports === undefined) {
  console.error(`image: ${file} is not there: run scripts/image first`);
  process.exitCode = 1;
} else {
  const wanted = imagePage(reports);
  const found = await readFile(PAGE, "utf8").catch(() => "");
  if (!process.argv.includes("--check")) {
    await writeFile(PAGE, wanted);
    console.log(`${PAGE} written`);
  } else if (withoutFigures(found) !== withoutFigures(wanted)) {
    console.error(`${PAGE} is of another image: run scripts/image && scripts/image --docs`);
    process.exitCode = 1;
  }
}
