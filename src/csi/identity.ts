import { failure } from "../domain/errors/driver-error.ts";
import { type BoundService, service } from "./bridge.ts";
import {
  PluginCapability_VolumeExpansion_Type as ExpansionType,
  Identity,
  PluginCapability_Service_Type as ServiceType,
} from "./gen/csi_pb.ts";

/** The answers of the Identity service. */
export interface IdentityOptions {
  /** Driver name in reverse-domain form. */
  readonly name: string;
  readonly vendorVersion: string;
  /** Further facts, e.g. the commit; shown by `kubectl` tools, never interpreted. */
  readonly manifest?: Readonly<Record<string, string>>;
  /**
   * Whether this *process* can work. Never asks the RDS: kubelet would restart the driver while the RDS is away, which makes an
   * outage worse.
   */
  readonly isReady: () => boolean;
}

/** Services of the plugin. Every node reaches the RDS, so there is no VOLUME_ACCESSIBILITY_CONSTRAINTS and no topology. */
export const PLUGIN_SERVICES = [ServiceType.CONTROLLER_SERVICE] as const;

const DRIVER_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,61}[A-Za-z0-9])?$/;

/**
 * Checks a driver name (CSI specification, GetPluginInfo): at most 63 characters, letters, digits, `-` and `.`,
 * beginning and ending with a letter or digit.
 * @throws fieldInvalid naming `driver name`
 */
export function checkDriverName(name: string): void {
  if (!DRIVER_NAME.test(name)) {
    throw failure("fieldInvalid", {
      field: "driver name",
      reason: `${JSON.stringify(name)} is not 1 to 63 letters, digits, - and ., with a letter or digit at both ends`,
    });
  }
}

/** The Identity service, the same in every component. */
export function identityService(options: IdentityOptions): BoundService {
  checkDriverName(options.name);
  return service(Identity, {
    getPluginInfo: async () => ({
      name: options.name,
      vendorVersion: options.vendorVersion,
      manifest: { ...options.manifest },
    }),
    getPluginCapabilities: async () => ({
      capabilities: [
        ...PLUGIN_SERVICES.map((type) => ({ type: { case: "service" as const, value: { type } } })),
        { type: { case: "volumeExpansion" as const, value: { type: ExpansionType.ONLINE } } },
      ],
    }),
    probe: async () => ({ ready: options.isReady() }),
  });
}
