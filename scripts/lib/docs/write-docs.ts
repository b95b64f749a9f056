import { readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import packageJson from "../../../package.json" with { type: "json" };
import { chartFiles } from "../chart/chart.ts";
import { dashboardFiles } from "../dashboards/dashboards.ts";
import { cliDocs } from "./cli-page.ts";
import { configurationDocs } from "./configuration-page.ts";
import { diagnosePage, diagnosisSchemaText } from "./diagnose-page.ts";
import { errorsPage } from "./errors-page.ts";
import { titlesBelow, withFiles } from "./evidence.ts";
import { helmPage } from "./helm-page.ts";
import { probePage } from "./probe-page.ts";
import { volumesPage } from "./volumes-page.ts";

const source = { manifests: "manifests", version: packageJson.version };

/** Files of a folder as generated files. */
function filesIn(folder: string, files: Readonly<Record<string, string>>): Record<string, () => string> {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [join(folder, name), () => text]));
}

/** The generated files, by path. */
const PAGES: Readonly<Record<string, () => string>> = {
  "docs/errors.md": errorsPage,
  "docs/configuration.md": configurationDocs,
  "docs/cli.md": cliDocs,
  "docs/volumes.md": volumesPage,
  "docs/diagnose.md": diagnosePage,
  "docs/probe.md": probePage,
  "docs/diagnosis.schema.json": diagnosisSchemaText,
  "docs/helm.md": () => helmPage(source),
  ...filesIn("manifests/chart", chartFiles(source)),
  ...filesIn("manifests/components/dashboards", dashboardFiles()),
};

const titles = titlesBelow(".");
const byHand = readdirSync("docs")
  .map((name) => join("docs", name))
  .filter((path) => path.endsWith(".md") && !Object.hasOwn(PAGES, path))
  .sort();

const check = process.argv.includes("--check");
for (const path of [...Object.keys(PAGES), ...byHand]) {
  const found = await readFile(path, "utf8").catch(() => "");
  let wanted: string;
  try {
    // In pages written by hand only the files of the tests that they name are generated.
    wanted = PAGES[path]?.() ?? withFiles(found, path, titles);
  } catch (error) {
    if (!byHand.includes(path) || !(error instanceof Error)) throw error;
    console.error(error.message);
    process.exitCode = 1;
    continue;
  }
  if (found === wanted) continue;
  if (check) {
    console.error(`${path} is out of date: run scripts/docs`);
    process.exitCode = 1;
  } else {
    await writeFile(path, wanted);
    console.log(`${path} written`);
  }
}
