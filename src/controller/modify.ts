import { encodeChecked, REVISION_ROOM } from "../domain/record/record-codec.ts";
import {
  type Attachment,
  type ConnectionSettings,
  connectionOf,
  type VolumeRecord,
  type VolumeSettings,
} from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { newRevision } from "../migration/revision.ts";
import type { Logger } from "../observability/log.ts";
import { requireFinished } from "../rds/copy.ts";
import type { Rds } from "../rds/rds.ts";
import type { MigrationReporter } from "./migration-reporter.ts";
import { changedSettings } from "./parameters.ts";
import { changeRecord } from "./record-change.ts";

export interface ModifyServiceOptions {
  readonly rds: Rds;
  readonly reporter: MigrationReporter;
  readonly logger: Logger;
}

/** ControllerModifyVolume, in domain terms. */
export interface ModifyRequest {
  readonly volumeId: VolumeId;
  /** CSI's mutable_parameters; keys that are absent stay as they are. */
  readonly mutableParameters: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Changes the settings of volumes: parameters of a VolumeAttributesClass. */
export class ModifyService {
  readonly #options: ModifyServiceOptions;

  constructor(options: ModifyServiceOptions) {
    this.#options = options;
  }

  /**
   * CSI ControllerModifyVolume: two RouterOS commands, one if no key is given. All keys are written by one compare-and-set of the record,
   * so a change is never half done. The export is not touched: attached nodes keep the settings that they were given.
   *
   * A change that finds its values in place writes a revision all the same: an earlier change, whose line still waits on the RDS, must not
   * undo the answer.
   * @throws volumeNotFound (NOT_FOUND), volumeConverting (FAILED_PRECONDITION), before the keys are looked at; the errors of `changedSettings`, recordTooLarge (INVALID_ARGUMENT);
   *   recordConflict (ABORTED)
   */
  async modify({ volumeId: id, mutableParameters, signal }: ModifyRequest): Promise<void> {
    const { rds, reporter, logger } = this.#options;
    const first = await rds.conversions.required(id, await rds.find(id, signal), signal);
    requireFinished(first);
    if (Object.keys(mutableParameters).length === 0) return;
    const decide = (record: VolumeRecord): VolumeRecord => {
      const settings = changedSettings(record.settings, mutableParameters);
      const changed = newRevision(withSettings(record, settings));
      // It has to stay possible to detach the volume.
      encodeChecked(id, changed, REVISION_ROOM);
      return changed;
    };
    const changed = await changeRecord(rds, reporter, {
      ...{ id, first, fresh: true, node: "", purpose: "change", signal },
      decide: async ({ record }) => ({
        kind: "accept",
        record: decide(record),
        export: "leave",
        events: [],
      }),
    });
    if (changed === undefined) return rds.conversions.absent(id, signal);
    logger.info("changed the settings of a volume", { volume: id, ...mutableParameters });
  }
}

/** The record with other settings. Attached nodes keep the connection settings that they were given. */
function withSettings(record: VolumeRecord, settings: VolumeSettings): VolumeRecord {
  const before = connectionOf(record.settings);
  const after = connectionOf(settings);
  const keep = ({ connection = before, ...attachment }: Attachment): Attachment =>
    isSame(connection, after) ? attachment : { ...attachment, connection };
  return { ...record, settings, attachments: record.attachments.map(keep) };
}

function isSame(a: ConnectionSettings, b: ConnectionSettings): boolean {
  return (Object.keys(a) as (keyof ConnectionSettings)[]).every((key) => a[key] === b[key]);
}
