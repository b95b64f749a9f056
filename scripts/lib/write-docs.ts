import { readFile, writeFile } from "node:fs/promises";
import process from "node:process";
import { configurationDocs } from "../../src/cli/configuration-docs.ts";
import { diagnosePage, diagnosisSchemaText } from "../../src/cli/diagnose/docs.ts";
import { cliDocs } from "../../src/cli/docs.ts";
import { errorsPage } from "../../src/domain/errors/docs.ts";
import { volumesPage } from "./volumes-page.ts";

/** The generated pages, by path. */
const PAGES: Readonly<Record<string, () => string>> = {
  "docs/errors.md": errorsPage,
  "docs/configuration.md": configurationDocs,
  "docs/cli.md": cliDocs,
  "docs/volumes.md": volumesPage,
  "docs/diagnose.md": diagnosePage,
  "docs/diagnosis.schema.json": diagnosisSchemaText,
};

const check = process.argv.includes("--check");
for (const [path, render] of Object.entries(PAGES)) {
  const wanted = render();
  const found = await readFile(path, "utf8").catch(() => "");
  if (found === wanted) continue;
  if (check) {
    console.error(`${path} is out of date: run scripts/docs`);
    process.exitCode = 1;
  } else {
    await writeFile(path, wanted);
    console.log(`${path} written`);
  }
}
