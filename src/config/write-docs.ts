import { writeFile } from "node:fs/promises";
import { configurationDocs } from "./docs.ts";

// Run from the repository's root: bun src/config/write-docs.ts
await writeFile("docs/configuration.md", configurationDocs());
