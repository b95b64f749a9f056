import { Enums, Models, Serialize, SPDX, Spec } from "@cyclonedx/cyclonedx-library";
import type { EmbeddedPackage } from "../image/notices.ts";
import type { Report } from "../image/report.ts";

/** What a bill of materials is of. */
export interface Subject {
  readonly version: string;
  readonly commit: string;
  /** Of the commit, seconds since 1970. */
  readonly seconds: number;
  readonly image: Report;
  /** In the executable. */
  readonly packages: readonly EmbeddedPackage[];
}

/** The bill of materials of the image of one architecture: CycloneDX 1.6 as JSON. Its bytes depend on the subject only. */
export function sbomText({ version, commit, seconds, image, packages }: Subject): string {
  const component = new Models.Component(Enums.ComponentType.Container, "rds-csi", {
    ...{ version, bomRef: "rds-csi", description: `linux/${image.architecture}, commit ${commit}` },
    licenses: licensesOf("Apache-2.0"),
    purl: `pkg:oci/rds-csi@${encodeURIComponent(image.digest)}?arch=${image.architecture}`,
  });
  const bom = new Models.Bom({
    metadata: new Models.Metadata({ timestamp: new Date(seconds * 1_000), component }),
  });
  for (const { name, version: of, license } of packages) {
    const [group, short] = name.startsWith("@") ? name.split("/") : [undefined, name];
    const purl = `pkg:npm/${name.replace("@", "%40")}@${of}`;
    const options = {
      version: of,
      purl,
      bomRef: purl,
      licenses: licensesOf(license),
      ...(group && { group }),
    };
    bom.components.add(new Models.Component(Enums.ComponentType.Library, short ?? name, options));
  }
  for (const { name, version: of, sha256 } of image.packages) {
    const purl = `pkg:deb/debian/${name}@${encodeURIComponent(of)}?arch=${image.architecture}`;
    const hashes = new Models.HashDictionary([[Enums.HashAlgorithm["SHA-256"], sha256]]);
    bom.components.add(
      new Models.Component(Enums.ComponentType.Library, name, { version: of, purl, bomRef: purl, hashes }),
    );
  }
  for (const each of bom.components) component.dependencies.add(each.bomRef);
  const normal = new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6);
  return `${new Serialize.JsonSerializer(normal).serialize(bom, { sortLists: true, space: 2 })}\n`;
}

/** An identifier of SPDX, an expression of several, or a name. */
function licensesOf(license: string | undefined): Models.LicenseRepository {
  if (license === undefined) return new Models.LicenseRepository();
  if (SPDX.isSupportedSpdxId(license)) return new Models.LicenseRepository([new Models.SpdxLicense(license)]);
  const isExpression = / (OR|AND|WITH) /.test(license);
  return new Models.LicenseRepository([
    isExpression ? new Models.LicenseExpression(license) : new Models.NamedLicense(license),
  ]);
}
