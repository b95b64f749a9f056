import { attachmentErrors } from "./attachment.ts";
import { copyErrors } from "./copy.ts";
import type { ErrorEntry } from "./entry.ts";
import { expansionErrors } from "./expansion.ts";
import { kubernetesErrors } from "./kubernetes.ts";
import { nodeErrors } from "./node.ts";
import { orphanErrors } from "./orphan.ts";
import { rdsErrors } from "./rds.ts";
import { requestErrors } from "./request.ts";
import { snapshotErrors } from "./snapshot.ts";

/** Every failure that the driver reports, by its stable id. `docs/errors.md` is generated from it. */
export const catalogue = {
  ...requestErrors,
  ...rdsErrors,
  ...attachmentErrors,
  ...nodeErrors,
  ...expansionErrors,
  ...snapshotErrors,
  ...copyErrors,
  ...orphanErrors,
  ...kubernetesErrors,
} as const;

export type ErrorId = keyof typeof catalogue;

/** The parameters that the message of error `K` needs. */
export type ErrorParams<K extends ErrorId> = (typeof catalogue)[K] extends ErrorEntry<infer P> ? P : never;
