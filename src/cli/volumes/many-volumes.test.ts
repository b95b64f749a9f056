import { describe, expect, test } from "bun:test";
import { busySite, NOW } from "./listed.fixture.ts";
import { renderVolumes } from "./render.ts";
import { frameLines } from "./watch-view.ts";

/** The screen of a terminal of 80 columns and 24 rows after `volumes list`; the last row is the prompt's. */
const LIST = `
available  -   576Gi  shop/web-win…age-35  -            -          csi-e8a5c402…
attached   -   576Gi  shop/web-win…ge-355  worker-08    -          csi-1f406d36…
attached   -   576Gi  shop/web-win…ge-395  worker-12    -          csi-a414b8a6…
attached   -   256Gi  shop/web-win…ge-415  worker-08    -          csi-75404206…
available  -   256Gi  shop/web-win…ge-455  -            -          csi-9a324833…
attached   -   576Gi  shop/web-win…ge-475  worker-08    -          csi-ccd75ff9…
attached   -   256Gi  shop/web-win…age-55  worker-08    -          csi-7e6659cf…
attached   -   256Gi  shop/web-win…age-95  worker-12    -          csi-22de369c…

Problems:
!! pool-not-mounted: 20 volumes: Pool nvme-raid6 is not mounted; look at /disk
   print on the RDS: produc…/erp-window…n-image-3, produc…/erp-window…image-303,
   produc…/postgres-ha-data-201 and 17 more
!! attachment-without-va: production-virtual-machines/erp-etcd-backup-78: It is
   attached to worker-07.rack-17.storage.example.org, which has no
   VolumeAttachment for it
!! not-exported: shop/rabbitmq-server-data-77: Attached according to its record,
   but not exported
!  foreign-disk: 10 volumes: it belongs to cluster staging:
   csi-0305b9643b8c1a00c3b21c2…, csi-23840221981486b6c43cad0…,
   csi-2b36010894c9b53a37ded37… and 7 more

500 volumes, 32 with problems; rds-csi volumes show NAME says what to do.
`;

/** The beginning of the same list. */
const LIST_BEGIN = `
STATE      !   SIZE   PVC                  NODES        MIGRATION  HANDLE
attached   !!  624Gi  pro…/erp-etc…kup-78  worker-07    -          csi-18dbb920…
broken     !!  64Gi   pro…/erp-win…mage-3  worker-04    -          csi-6d78b998…
broken     !!  384Gi  pro…/erp-win…ge-303  worker-04    -          csi-da8cba16…
broken     !!  32Gi   pro…/postgre…ta-201  worker-10    -          csi-51b66663…
broken     !!  368Gi  pro…/rabbitm…up-102  worker-07    -          csi-24ec05ad…
`;

/** The screen of the same terminal with `volumes list --watch`. */
const WATCH = `
500 volumes, 32 with problems, as of 2026-03-01T12:00:00Z; Ctrl-C ends

!! pool-not-mounted: 20 volumes: Pool nvme-raid6 is not mounted; look at /disk …
!! attachment-without-va: producti…/erp-etcd-backup-78: It is attached to worke…
!! not-exported: shop/rabbitmq-server-data-77: Attached according to its record…
!  foreign-disk: 10 volumes: it belongs to cluster staging: csi-0305b9643b8c1a0…

STATE      !   SIZE   PVC                  NODES        MIGRATION  HANDLE
attached   !!  624Gi  pro…/erp-etc…kup-78  worker-07    -          csi-18dbb920…
broken     !!  64Gi   pro…/erp-win…mage-3  worker-04    -          csi-6d78b998…
broken     !!  384Gi  pro…/erp-win…ge-303  worker-04    -          csi-da8cba16…
broken     !!  32Gi   pro…/postgre…ta-201  worker-10    -          csi-51b66663…
broken     !!  368Gi  pro…/rabbitm…up-102  worker-07    -          csi-24ec05ad…
broken     !!  48Gi   pro…/rabbitm…up-402  worker-07    -          csi-29f44a53…
broken     !!  16Gi   pro…/web-rootdisk-0  -            -          csi-305af95d…
broken     !!  336Gi  pro…/web-roo…sk-300  worker-01    -          csi-faba85fb…
broken     !!  384Gi  shop/erp-win…ge-103  worker-08    -          csi-d7694c5f…
broken     !!  64Gi   shop/erp-win…ge-203  -            -          csi-914f8e87…
broken     !!  64Gi   shop/erp-win…ge-403  worker-08    -          csi-de4d2857…
broken     !!  32Gi   shop/postgre…data-1  worker-02    -          csi-08522d86…
broken     !!  352Gi  shop/postgre…ta-101  worker-06    -          csi-4ac64ff1…
broken     !!  352Gi  shop/postgre…ta-301  -            -          csi-7f54db17…
… 486 more volumes: -n, --node, --state choose
`;

/** The beginning of the list at 160 columns. */
const WIDE_BEGIN = `
STATE      !   SIZE   PVC                                                                                          NODES        MIGRATION  AGE  HANDLE
attached   !!  624Gi  production-virtual-machines/erp-etcd-backup-78                                               worker-07    -          6d   csi-18dbb920…
broken     !!  64Gi   production-virtual-machines/erp-windows-2022-template-clone-of-golden-image-3                worker-04    -          8h   csi-6d78b998…
broken     !!  384Gi  production-virtual-machines/erp-windows-2022-template-clone-of-golden-image-303              worker-04    -          25d  csi-da8cba16…
`;

const volumes = busySite(500);
const lines = (width: number): string[] =>
  renderVolumes(volumes, { format: "table", now: NOW, width, colour: false }).trimEnd().split("\n");
const size = (line: string): number => [...line].length;
const text = (shown: readonly string[]): string => `\n${shown.join("\n")}\n`;

describe("500 volumes", () => {
  test("the list at 80 columns: problems and counts stay on the screen, problems are the first rows", () => {
    expect(text(lines(80).slice(-23))).toBe(LIST);
    expect(text(lines(80).slice(0, 6))).toBe(LIST_BEGIN);
  });

  test("the list at 160 columns: claims are whole, handles are cut", () => {
    expect(text(lines(160).slice(0, 4))).toBe(WIDE_BEGIN);
    const shown = lines(160).join("\n");
    for (const { pvc } of volumes)
      if (pvc !== undefined) expect(shown).toContain(` ${pvc.namespace}/${pvc.name} `);
  });

  test("the watch at 80x24: all problems, then the volumes that have them", () => {
    const look = { volumes, readAt: NOW, now: NOW, troubles: [] };
    const frame = frameLines(look, { wide: false, columns: 80, rows: 23, colour: false });
    expect(text(frame)).toBe(WATCH);
  });

  test("no line is longer than the terminal, and each volume has its row", () => {
    for (const width of [80, 100, 132, 160]) {
      const shown = lines(width);
      expect(shown.filter((line) => size(line) > width)).toEqual([]);
      expect(shown.indexOf("")).toBe(501);
      // A cut handle is the beginning of one handle only.
      const handles = shown.slice(1, 501).map((line) => line.split(/ +/).at(-1)?.replace("…", "") ?? "");
      for (const handle of handles)
        expect(volumes.filter((volume) => volume.handle.startsWith(handle)).length).toBe(1);
    }
  });
});
