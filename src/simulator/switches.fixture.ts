import { testConsole } from "../../test/support/simulator-console.ts";
import type { Switches } from "./switches.ts";

export const withSwitches = (switches: Partial<Switches>, width = 0) => testConsole({ switches, width });
