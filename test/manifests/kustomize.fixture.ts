import process from "node:process";

/** Where programs are looked for; /usr/bin also where PATH lacks it. */
const PATH = `${process.env.PATH ?? ""}:/usr/bin`;

/** A program with its arguments, to which the folder to build is added. */
export type KustomizeCommand = readonly [program: string, subcommand: string];

/**
 * How this machine builds a kustomization: by kustomize, else by the kustomize within kubectl; undefined without either.
 * @param which path of a program, or null
 */
export function kustomizeCommand(which: (program: string) => string | null): KustomizeCommand | undefined {
  const kustomize = which("kustomize");
  if (kustomize !== null) return [kustomize, "build"];
  const kubectl = which("kubectl");
  return kubectl === null ? undefined : [kubectl, "kustomize"];
}

/** Why tests that build are skipped, for their titles; "" where they run. */
export const noKustomizeOf = (command: KustomizeCommand | undefined): string =>
  command === undefined ? " (needs kustomize or kubectl)" : "";

/** The command of this machine. */
export const KUSTOMIZE = kustomizeCommand((program) => Bun.which(program, { PATH }));
export const noKustomize = noKustomizeOf(KUSTOMIZE);
