/** Exit codes of every command; documented in docs/cli.md. */
export const ExitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  problems: 3,
  broken: 4,
} as const;

export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** The meaning of each exit code, for help and docs. */
export const EXIT_CODE_DOCS = Object.entries({
  ok: "success; controller, node and simulate: ended by SIGTERM or SIGINT, with their work finished",
  failure:
    "the command failed, e.g. the RDS is not reachable, or was interrupted; also a second SIGTERM or SIGINT",
  usage: "wrong options or configuration: every mistake is listed, nothing was done",
  problems:
    "problems (list and show with --fail-on-problems, volumes record and adopt) or warnings (diagnose, check)",
  broken:
    "diagnose or check found errors or critical problems, or probe an answer with which the driver is unsafe",
} satisfies Record<keyof typeof ExitCode, string>).map(
  ([name, text]) => [ExitCode[name as keyof typeof ExitCode], text] as const,
);
