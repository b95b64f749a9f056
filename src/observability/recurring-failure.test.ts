import { expect, test } from "bun:test";
import { failure } from "../domain/errors/driver-error.ts";
import { createLogger } from "./logger.ts";
import { RecurringFailure } from "./recurring-failure.ts";

test("one line when it begins, for each other reason, and when it is over", () => {
  const lines: string[] = [];
  const sink = (line: string) => {
    const { level, msg, times } = JSON.parse(line);
    lines.push(`${level} ${msg} ${times}`);
  };
  const failures = new RecurringFailure(createLogger({ format: "json", level: "debug", sink }), "reconcile");
  failures.worked();
  // The same error, though its text counts the seconds.
  for (const seconds of [5, 6, 7])
    failures.failed(
      failure("rdsUnreachable", { address: "192.0.2.1:22", reason: `gave up after ${seconds} s` }),
    );
  failures.failed(new Error("another"));
  failures.worked();
  failures.worked();
  failures.failed(new Error("another"));
  expect(lines).toEqual([
    "warn reconcile failed, it is repeated 1",
    "debug reconcile failed, it is repeated 2",
    "debug reconcile failed, it is repeated 3",
    "warn reconcile failed, it is repeated 4",
    "info reconcile works again 4",
    "warn reconcile failed, it is repeated 1",
  ]);
});
