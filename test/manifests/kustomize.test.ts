import { describe, expect, test } from "bun:test";
import { kustomizeCommand, noKustomizeOf } from "./kustomize.fixture.ts";

const machineWith =
  (...programs: string[]) =>
  (program: string) =>
    programs.includes(program) ? `/bin/${program}` : null;

describe("the program that builds the manifests", () => {
  test("is kustomize, or `kubectl kustomize` where only kubectl exists", () => {
    expect(kustomizeCommand(machineWith("kustomize", "kubectl"))).toEqual(["/bin/kustomize", "build"]);
    expect(kustomizeCommand(machineWith("kubectl"))).toEqual(["/bin/kubectl", "kustomize"]);
    expect(kustomizeCommand(machineWith())).toBeUndefined();
  });

  test("is named by every test that is skipped without it", () => {
    expect(noKustomizeOf(undefined)).toBe(" (needs kustomize or kubectl)");
    expect(noKustomizeOf(["/bin/kustomize", "build"])).toBe("");
  });
});
