/** Exit codes of every command; documented in docs/cli.md. */
export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  problems: 3,
  broken: 4,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** What each exit code means, for help and docs. */
export const EXIT_CODE_DOCS: readonly (readonly [ExitCode, string])[] = [
  [
    ExitCode.ok,
    "success; for controller, node and simulate: stopped by SIGTERM or SIGINT after finishing their work",
  ],
  [ExitCode.failure, "the command failed, e.g. the RDS is not reachable; also a second SIGTERM or SIGINT"],
  [ExitCode.usage, "wrong usage or configuration; every mistake is listed and nothing was done"],
  [
    ExitCode.problems,
    "it worked and found problems (volumes list, show --fail-on-problems; volumes record), or warnings (diagnose)",
  ],
  [ExitCode.broken, "diagnose worked and found something that is an error or critical"],
];
