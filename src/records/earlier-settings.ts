import { DEFAULT_SETTINGS, type VolumeSettings } from "../domain/record/volume-record.ts";

/** The kernel's own values, which the earlier driver leaves alone with 0. Source: Linux, drivers/nvme/host/fabrics.h. */
const KERNEL = { ctrlLossTmo: 600, keepAliveTmo: 5 } as const;
/** Largest values of a record; docs/volume-record.md. */
const LONGEST_LOSS = 31_536_000;
const LONGEST = 3_600;
/** Bounds to which the earlier driver itself moves a migration's time. */
const MIGRATION = { min: 30, max: 3_600 } as const;

/**
 * The settings of a volume of the earlier driver, from the volume context that it gave it: those that its connections really have.
 * @param attributes spec.csi.volumeAttributes of the PersistentVolume
 */
export function earlierSettings(attributes: Readonly<Record<string, string>> = {}): VolumeSettings {
  const given = (key: string): number | undefined => {
    const text = attributes[key] ?? "";
    return /^-?\d{1,12}$/.test(text) ? Number(text) : undefined;
  };
  const within = (value: number, min: number, max: number) => Math.min(max, Math.max(min, value));
  const [loss, delay, alive, migration] = [
    given("ctrlLossTmo"),
    given("reconnectDelay"),
    given("keepAliveTmo"),
    given("migrationTimeoutSeconds"),
  ];
  return {
    ...DEFAULT_SETTINGS,
    ...(loss === undefined
      ? {}
      : { ctrlLossTmo: loss === 0 ? KERNEL.ctrlLossTmo : within(loss, -1, LONGEST_LOSS) }),
    ...(delay === undefined ? {} : { reconnectDelay: within(delay, 1, LONGEST) }),
    ...(alive === undefined
      ? {}
      : { keepAliveTmo: alive === 0 ? KERNEL.keepAliveTmo : within(alive, 1, LONGEST) }),
    ...(migration === undefined || migration <= 0
      ? {}
      : { migrationTimeoutSeconds: within(migration, MIGRATION.min, MIGRATION.max) }),
  };
}
