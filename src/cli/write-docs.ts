import { writeFile } from "node:fs/promises";
import { configurationDocs } from "../config/docs.ts";
import { cliDocs } from "./docs.ts";

// Run from the repository's root: bun src/cli/write-docs.ts
await writeFile("docs/configuration.md", configurationDocs());
await writeFile("docs/cli.md", cliDocs());
