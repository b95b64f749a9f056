import { DEFAULT_DRIVER_NAME } from "../config/common-options.ts";

/** Start of the names of the ConfigMaps with copies of records. The manifests grant those of the default driver name. */
export function recordsPrefix(driverName: string): string {
  return driverName === DEFAULT_DRIVER_NAME
    ? "rds-csi-records"
    : `${driverName.replaceAll(".", "-")}-records`;
}
