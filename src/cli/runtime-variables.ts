/**
 * Environment variables by which Bun changes a compiled executable: it loads code, opens a port, writes files, sends crash
 * reports, or changes the engine. Names as whole words, as Kubernetes makes variables such as
 * `BUN_OPTIONS_PORT` for a Service named `bun-options`. Found by trying Bun 1.4.5; docs/security.md explains each.
 */
const REFUSED = [
  /^BUN_(BE_BUN|OPTIONS|INSPECT|INSPECT_(CONNECT_TO|NOTIFY|PRELOAD))$/,
  /^BUN_(BYTECODE_(ORDER|ORDER_NAMES|DIGEST)_OUT|RUNTIME_TRANSPILER_CACHE_PATH|WATCHER_TRACE|TRACE)$/,
  /^BUN_(CRASH_REPORT_URL|ENABLE_CRASH_REPORTING|CONFIG_VERBOSE_FETCH|TCC_OPTIONS|FFI_IMPORT|DEBUG)$/,
  /^BUN_JSC_[a-z]/,
  /^BUN_(DEBUG|INTERNAL|FEATURE_FLAG)_(?!(\w+_)?(SERVICE_HOST|SERVICE_PORT|PORT)(_|$))/,
];

/**
 * The names among the environment with which the program does not run. Bun has acted on them before any code of ours: a refusal shows
 * them, it cannot undo them.
 */
export function refusedVariables(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  return Object.keys(env)
    .filter((name) => env[name] !== undefined && REFUSED.some((pattern) => pattern.test(name)))
    .sort();
}

/** The refusal for the user. @param names not empty */
export function refusalText(names: readonly string[]): string {
  return `rds-csi: ${names.join(", ")} in the environment would change how this program runs.\n  Remove ${names.length === 1 ? "it" : "them"} and start again.\n`;
}
