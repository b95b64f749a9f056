import process from "node:process";
import { runNodeHelper } from "./helper-main.ts";

// Only for runs from source, where the executable is the runtime; see helperCommand().
process.exitCode = runNodeHelper(process.argv.slice(2));
