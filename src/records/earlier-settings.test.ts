import { expect, test } from "bun:test";
import { DEFAULT_SETTINGS } from "../domain/record/volume-record.ts";
import { earlierSettings } from "./earlier-settings.ts";

test.each<[string, Readonly<Record<string, string>> | undefined, object]>([
  ["none", undefined, {}],
  ["its defaults", { ctrlLossTmo: "-1", reconnectDelay: "5", keepAliveTmo: "0" }, {}],
  ["the kernel's own", { ctrlLossTmo: "0", keepAliveTmo: "0" }, { ctrlLossTmo: 600, keepAliveTmo: 5 }],
  [
    "its own",
    { ctrlLossTmo: "1800", reconnectDelay: "2", keepAliveTmo: "30", migrationTimeoutSeconds: "900" },
    { ctrlLossTmo: 1800, reconnectDelay: 2, keepAliveTmo: 30, migrationTimeoutSeconds: 900 },
  ],
  [
    "a time that it shortens or makes longer",
    { migrationTimeoutSeconds: "5" },
    { migrationTimeoutSeconds: 30 },
  ],
  ["a time that it does not take", { migrationTimeoutSeconds: "-5" }, {}],
  ["more than a record holds", { reconnectDelay: "99999" }, { reconnectDelay: 3_600 }],
  [
    "no numbers",
    { ctrlLossTmo: "", reconnectDelay: "1e3", keepAliveTmo: "x", migrationTimeoutSeconds: "5m" },
    {},
  ],
])("settings of the earlier driver: %s", (_, attributes, expected) => {
  expect(earlierSettings(attributes)).toEqual({ ...DEFAULT_SETTINGS, ...expected });
});
