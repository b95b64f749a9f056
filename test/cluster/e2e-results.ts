import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

const repository = resolve(import.meta.dirname, "../..");

/** A spec of ginkgo's JSON report, as far as it is looked at. */
interface Spec {
  readonly State: string;
  readonly LeafNodeType: string;
  readonly LeafNodeText: string;
  readonly ContainerHierarchyTexts: readonly string[] | null;
  /** Nanoseconds. */
  readonly RunTime: number;
  readonly NumAttempts?: number;
  readonly Failure?: { readonly Message: string };
}

/**
 * Writes what failed, what passed at its second attempt, and the sums of each suite and of all.
 * @param report path of ginkgo's JSON report
 * @param code with which ginkgo ended
 * @returns the exit code of the run
 */
export async function tellResults(report: string, code: number): Promise<number> {
  const suites = JSON.parse(await readFile(report, "utf8")) as { SpecReports: Spec[] | null }[];
  const page = await readFile(join(repository, "docs/conformance.md"), "utf8");
  const reasons = page.split("\n").flatMap((line) => /^\| `([^`]+)` \|/.exec(line)?.[1] ?? []);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  const bySuite = new Map<string, { passed: number; failed: number; skipped: number; seconds: number }>();
  for (const spec of suites.flatMap((suite) => suite.SpecReports ?? [])) {
    if (spec.LeafNodeType !== "It") continue;
    const pattern = spec.ContainerHierarchyTexts?.find((text) => text.startsWith("[Testpattern")) ?? "";
    const name = `${pattern} ${spec.LeafNodeText}`;
    // Not chosen by focus and skip: ginkgo gives no reason.
    if (spec.State === "pending" || (spec.State === "skipped" && (spec.Failure?.Message ?? "") === ""))
      continue;
    const suite = /^\[[^\]]*\] (?:\[[^\]]*\] )*(\S+)/.exec(pattern)?.[1] ?? pattern;
    const sum = bySuite.get(suite) ?? { passed: 0, failed: 0, skipped: 0, seconds: 0 };
    bySuite.set(suite, sum);
    if (spec.State === "passed") {
      sum.passed += 1;
      if ((spec.NumAttempts ?? 1) > 1) console.log(`flaky: ${name}`);
      sum.seconds += spec.RunTime / 1e9;
    } else if (spec.State === "skipped") {
      sum.skipped += 1;
      const reason = spec.Failure?.Message ?? "";
      if (!reasons.some((known) => reason.includes(known))) {
        console.log(`  does not apply, and docs/conformance.md does not have its reason: ${name}: ${reason}`);
        counts.failed += 1;
      }
    } else {
      sum.failed += 1;
      console.log(`  ${spec.State}: ${name}\n    ${spec.Failure?.Message.slice(0, 800)}`);
    }
  }
  for (const [suite, { passed, failed, skipped, seconds }] of [...bySuite].sort()) {
    const average = passed === 0 ? "" : `, ${(seconds / passed).toFixed(1)} s each`;
    console.log(`${suite}: ${passed} passed, ${failed} failed, ${skipped} do not apply${average}`);
    counts.passed += passed;
    counts.failed += failed;
    counts.skipped += skipped;
  }
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
  return counts.failed > 0 || counts.passed === 0 ? 1 : 0;
}
