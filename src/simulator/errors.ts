/**
 * A line that RouterOS rejects before anything of it runs (facts section 6, class "parse").
 * `message` is the text that the console prints, position included.
 */
export class ParseFailure extends Error {
  constructor(message: string, line: number, column: number) {
    super(`${message} (line ${line} column ${column})`);
    this.name = "ParseFailure";
  }
}

/** A failure while the line runs; catchable by `:onerror` and `on-error`. */
export class RunFailure extends Error {
  /** The command that failed, such as "/disk/add"; undefined until a command claims it. */
  origin: string | undefined;
  /** Its line in the source, from 1; undefined until a command claims it. */
  line: number | undefined;

  constructor(message: string, origin?: string) {
    super(message);
    this.name = "RunFailure";
    this.origin = origin;
  }
}

/** The line ends here and now, uncatchably: the connection is lost or the client has left. */
export class LineCut extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = "LineCut";
  }
}

/** A mistake in the configuration or use of the simulator, as opposed to one on the simulated console. */
export class SimulatorError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "SimulatorError";
  }
}
