import { beforeEach } from "bun:test";
import { type TestConsole, testConsole } from "../../test/support/simulator-console.ts";

/** The present test's simulated RDS, with the default switches. */
export let box: TestConsole;

export const free = () => box.device.freeBytes("storage-pool");

/** Gives each test of a file a simulated RDS of its own, `box`. */
export function useConsole(): void {
  beforeEach(async () => {
    box = await testConsole();
  });
}
