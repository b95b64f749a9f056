/**
 * What the test asks of a machine: a line of JSON; or, where the line cannot carry it (uml/launch.ts), a file of JSON in the
 * mailbox, named by its id, which alone goes over the line. Answers are lines of JSON.
 */
export type Request = { readonly id: number } & (
  | { readonly op: "exec"; readonly script: string; readonly deadlineMs: number }
  | {
      readonly op: "start";
      readonly name: string;
      readonly program: string;
      readonly args: readonly string[];
      readonly environment: Readonly<Record<string, string>>;
    }
  | {
      readonly op: "rpc";
      readonly socket: string;
      readonly path: string;
      /** The request message, base64. */
      readonly body: string;
      readonly deadlineMs: number;
    }
  | {
      /** A command of the QEMU Machine Protocol on a unix socket. */
      readonly op: "qmp";
      readonly socket: string;
      readonly command: string;
      readonly arguments: object;
      readonly deadlineMs: number;
    }
);

/** What a machine answers. */
export type Reply = { readonly id: number } & (
  | {
      readonly kind: "exec";
      readonly code: number | string;
      readonly stdout: string;
      readonly stderr: string;
    }
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "rpc"; readonly body: string }
  | { readonly kind: "rpc-error"; readonly code: number; readonly details: string }
  /** What a command of QMP returns, JSON. */
  | { readonly kind: "qmp"; readonly value: unknown }
  | { readonly kind: "error"; readonly message: string }
);

/** What a machine says unasked. */
export type Notice =
  | { readonly kind: "ready" }
  | { readonly kind: "ended"; readonly pid: number; readonly how: string };
