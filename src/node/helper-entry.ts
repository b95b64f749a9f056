import process from "node:process";
import { startNodeHelper } from "./helper-main.ts";

// Only for runs from source, where the executable is the runtime; see helperCommand().
process.exitCode = startNodeHelper(process.argv.slice(2));
