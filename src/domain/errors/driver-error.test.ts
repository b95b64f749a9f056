import { describe, expect, test } from "bun:test";
import { type DriverError, failure } from "./driver-error.ts";
import type { ErrorEntry } from "./entry.ts";
import { commandRemedy } from "./entry.ts";
import { kubernetesErrors } from "./kubernetes.ts";
import { rdsErrors } from "./rds.ts";
import { requestErrors } from "./request.ts";

const REPETITION = /by itself|repeated call|caller repeats/;

describe("the remedy of a failure", () => {
  const unreachable: DriverError = failure("rdsUnreachable", { address: "192.0.2.1", reason: "refused" });

  test("tells a caller of CSI and the log that the call is repeated", () => {
    expect(unreachable.remedy).toEndWith(". The call is repeated by itself.");
    expect(unreachable.message).toEndWith(unreachable.remedy);
  });

  test("tells a person to repeat the command", () => {
    expect(unreachable.commandRemedy).toBe(
      "Check power, network and /ip/service of the RDS. Repeat the command.",
    );
    expect(failure("rdsBusy", { what: "x", detail: "y" }).commandRemedy).toBe("Repeat the command.");
    const { remedy, commandRemedy: same } = failure("poolNotFound", { pool: "p" });
    expect(same).toBe(remedy);
  });

  test("of the RDS, of Kubernetes and of a request claims no repetition to a person", () => {
    const entries = Object.entries({ ...rdsErrors, ...kubernetesErrors, ...requestErrors });
    const remedies = entries.map(([id, each]) => [id, commandRemedy(each as ErrorEntry<never>)] as const);
    expect(remedies.length).toBeGreaterThan(40);
    expect(remedies.filter(([, text]) => text === "" || REPETITION.test(text))).toEqual([]);
  });
});
