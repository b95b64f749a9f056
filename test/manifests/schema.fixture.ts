import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Manifest } from "./manifests.fixture.ts";

/**
 * Validates objects against the API's own schemas: kubernetes-models has those of Kubernetes (from its OpenAPI
 * description) and of the Prometheus operator as types and as validators, kubevirt-api those of KubeVirt as types. The
 * types are checked by the compiler, which finds unknown fields; the validators find wrong formats.
 */
interface Schema {
  readonly module: string;
  /** The type's name in the module. */
  readonly type: string;
  /** The class with the validator, if there is one. */
  readonly model: string | undefined;
}

const ROOT = resolve(import.meta.dir, "../..");
const GROUPS = new Set([
  "v1",
  "admissionregistration.k8s.io/v1",
  "apps/v1",
  "batch/v1",
  "networking.k8s.io/v1",
  "policy/v1",
  "rbac.authorization.k8s.io/v1",
  "storage.k8s.io/v1",
]);

/** Undefined for kinds that no package has the schema of. */
export function schemaOf({ apiVersion, kind }: Manifest): Schema | undefined {
  if (GROUPS.has(apiVersion))
    return { module: `kubernetes-models/${apiVersion}/${kind}`, type: `I${kind}`, model: kind };
  if (apiVersion === "monitoring.coreos.com/v1") {
    const module = `@kubernetes-models/prometheus-operator/${apiVersion}/${kind}`;
    return { module, type: `I${kind}`, model: kind };
  }
  if (apiVersion === "kubevirt.io/v1")
    return { module: "@kubevirt-ui-ext/kubevirt-api/kubevirt", type: `V1${kind}`, model: undefined };
  if (apiVersion === "snapshot.kubevirt.io/v1beta1")
    return { module: "@kubevirt-ui-ext/kubevirt-api/kubevirt", type: `V1beta1${kind}`, model: undefined };
  return undefined;
}

/** One line per problem, each naming the object; empty when all are valid. */
export async function problemsOf(objects: readonly Manifest[]): Promise<string[]> {
  const found = [...typeProblems(objects)];
  for (const object of objects) {
    const schema = schemaOf(object);
    if (schema?.model === undefined) continue;
    try {
      const { [schema.model]: Model } = await import(schema.module);
      new Model(unwrapped(object)).validate();
    } catch (error) {
      found.push(`${nameOf(object)}: ${(error as Error).message}`);
    }
  }
  return found;
}

/** Without the line breaks that kustomize puts into base64, which the API server's decoder skips. */
function unwrapped(object: Manifest): Manifest {
  if (object.kind !== "Secret" || object.data === undefined) return object;
  const data = Object.entries(object.data).map(([key, value]) => [key, String(value).replaceAll("\n", "")]);
  return { ...object, data: Object.fromEntries(data) };
}

export function nameOf({ kind, metadata }: Manifest): string {
  return `${kind} ${metadata?.name ?? metadata?.generateName}`;
}

/** What the compiler says of the objects as literals of their types. */
function typeProblems(objects: readonly Manifest[]): string[] {
  const lines: string[] = [];
  const names: string[] = [];
  for (const object of objects) {
    const schema = schemaOf(object);
    if (schema === undefined) throw new Error(`no schema of ${object.apiVersion} ${object.kind}`);
    const type = `import("${schema.module}").${schema.type}`;
    // One line an object, so that the line of a message tells which it is.
    names[lines.length + 1] = nameOf(object);
    lines.push(`export const object${lines.length}: ${type} = ${JSON.stringify(object)};`);
  }
  mkdirSync(join(ROOT, ".cache"), { recursive: true });
  // Within the repository, so that packages are found.
  const directory = mkdtempSync(join(ROOT, ".cache/manifests-"));
  try {
    writeFileSync(join(directory, "objects.ts"), lines.join("\n"));
    const compilerOptions = { module: "Preserve", moduleResolution: "bundler", strict: true, noEmit: true };
    const settings = {
      compilerOptions: { ...compilerOptions, skipLibCheck: true, types: [] },
      files: ["objects.ts"],
    };
    writeFileSync(join(directory, "tsconfig.json"), JSON.stringify(settings));
    const tsc = Bun.spawnSync([join(ROOT, "node_modules/.bin/tsc"), "-p", directory, "--pretty", "false"], {
      timeout: 60_000,
    });
    const output = String(tsc.stdout) + String(tsc.stderr);
    if (tsc.exitCode === 0) return [];
    const found = output
      .split("\n")
      .map((line) => /objects\.ts\((\d+),\d+\): error (TS\d+: .*)/.exec(line))
      .filter((match) => match !== null)
      .map(([, line, text]) => `${names[Number(line)]}: ${text}`);
    return found.length > 0 ? found : [`the compiler failed: ${output}`];
  } finally {
    rmSync(directory, { recursive: true });
  }
}
