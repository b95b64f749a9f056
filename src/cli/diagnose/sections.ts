import type { Chain, LinkName, LinkState } from "../../diagnose/chain.ts";
import { routeText } from "../../diagnose/checks/links.ts";
import type { Diagnosis } from "../../diagnose/diagnosis.ts";
import type { Facts } from "../../diagnose/facts.ts";
import { historyOf } from "../../diagnose/probes/kernel-log.ts";
import { printable } from "../../domain/printable.ts";
import { shortSize } from "../../domain/size.ts";
import { type Fact, valueOr } from "../../inspect/fact.ts";
import { endpointText } from "../../nvme/endpoint.ts";
import { shortDuration, tableLines } from "../volumes/text.ts";
import { wrap } from "./wrap.ts";

export interface Section {
  readonly title: string;
  readonly body: readonly string[];
}

type Rows = readonly (readonly [name: string, text: string])[];

/** What was found out, for people; sections that have nothing to say are left out. */
export function sections(diagnosis: Diagnosis, width: number | undefined, wide: boolean): readonly Section[] {
  const { facts, volumes } = diagnosis;
  const pairs = (title: string, rows: Rows): Section => ({ title, body: pairLines(rows, width) });
  return [
    pairs("NODE", nodeRows(facts, wide)),
    pairs("STORAGE", storageRows(facts)),
    { title: "CONNECTIONS", body: connectionLines(facts, width, wide) },
    { title: "VOLUMES", body: volumeLines(volumes, width, wide) },
    pairs("USERS OF DEVICES", userRows(facts)),
    pairs("HUNG PROCESSES", hungRows(facts)),
    pairs("KERNEL MESSAGES", messageRows(facts, wide ? 50 : 8)),
    pairs(
      "NOT ANSWERED, NOT ASKED",
      diagnosis.checks
        .filter(({ state }) => state !== "answered")
        .map(({ title, state, detail }) => [
          title,
          `${state === "not-asked" ? "not asked" : "unanswered"}: ${detail}`,
        ]),
    ),
  ].filter(({ body }) => body.length > 0);
}

function pairLines(rows: Rows, width: number | undefined): readonly string[] {
  const size = Math.max(0, ...rows.map(([name]) => name.length));
  return rows.flatMap(([name, text]) =>
    wrap(`  ${name.padEnd(size)}  ${printable(text)}`, width, " ".repeat(size + 4)),
  );
}

/** The rows of a fact; none if it is not known. */
function rowsOf<T>(fact: Fact<T>, say: (value: T) => Rows): Rows {
  return fact.state === "known" ? say(fact.value) : [];
}

function nodeRows(facts: Facts, wide: boolean): Rows {
  return [
    ...rowsOf(facts.kernel, ({ modules, multipath, release = "unknown" }) => {
      const tcp = `nvme-tcp ${modules.nvmeTcp ? "loaded" : "missing"}`;
      const fabrics = `nvme-fabrics ${modules.nvmeFabrics ? "loaded" : "missing"}`;
      const paths = multipath === undefined ? [] : [`native multipath ${multipath ? "on" : "off"}`];
      return [["kernel", [release, tcp, fabrics, ...paths].join(", ")]];
    }),
    ...rowsOf(facts.tools, (tools) => {
      if (wide) {
        return tools.map(({ name, path = "missing", version = "" }) => [name, `${path} ${version}`.trim()]);
      }
      const present = tools.filter(({ path }) => path !== undefined);
      const nvme = tools.find(({ name }) => name === "nvme")?.version;
      const all = `${present.length} of ${tools.length} programs`;
      return tools.length === 0 ? [] : [["tools", nvme === undefined ? all : `${all}; ${nvme}`]];
    }),
    ...rowsOf(facts.identity, ({ hostNqn = "unknown, as the cluster id is", nodeIdAssumed }) => [
      ["host NQN", `${hostNqn}${nodeIdAssumed ? " (node id: the host's name)" : ""}`],
    ]),
    ...rowsOf(facts.plugin, ({ name, version, ready, problem = "" }) => {
      const state = ready === undefined ? "" : ready ? ", ready" : ", not ready";
      return [["plugin", name === undefined ? problem : `${name} ${version}${state}`]];
    }),
    ...rowsOf(facts.kubelet, ({ registered, directory }) => [
      ["kubelet", `${directory}, driver ${registered.length > 0 ? "registered" : "not registered"}`],
    ]),
    ...rowsOf(facts.rds, ({ address, version }) => [["RDS", `${address}, RouterOS ${version}`]]),
  ];
}

function storageRows({ storage }: Facts): Rows {
  return valueOr(storage, []).map((each) => {
    const { reach } = each;
    const said =
      reach.kind === "reached"
        ? `answers in ${reach.milliseconds} ms`
        : reach.kind === "failed"
          ? reach.code
          : "does not answer";
    return [endpointText(each), `${said}; ${routeText(each)}`];
  });
}

/** Titles of columns, and the width down to which a column is cut. */
const COLUMNS = { VOLUME: 16, STATE: undefined, SINCE: undefined, ADDRESS: 12, DEVICE: 8 };
/** Those that a narrow terminal does not have. */
const MORE_COLUMNS = { EPOCH: undefined, "GIVES UP": undefined, NQN: 20 };

function connectionLines(facts: Facts, width: number | undefined, wide: boolean): readonly string[] {
  const connections = valueOr(facts.connections, []);
  if (connections.length === 0) return [];
  const log = valueOr(facts.kernelLog, []);
  const rows = connections.flatMap(({ nqn, volume, controllers, devices, state }) =>
    (controllers.length === 0 ? [undefined] : controllers).map((controller) => {
      const { liveSeconds, lostSeconds } = historyOf(controller?.name ?? "", log);
      const since = controller?.state === "live" ? liveSeconds : lostSeconds;
      const loss = controller?.ctrlLossTmo;
      return [
        volume?.slot ?? nqn,
        controller?.state ?? state,
        since === undefined ? "-" : shortDuration(since),
        controller?.endpoint === undefined ? "-" : endpointText(controller.endpoint),
        devices.map((device) => `${device.name} ${shortSize(BigInt(device.sizeBytes))}`).join(",") || "-",
        String(volume?.epoch ?? "-"),
        loss === undefined ? "-" : loss < 0 ? "never" : shortDuration(loss),
        nqn,
      ];
    }),
  );
  const isNarrow = !wide && width !== undefined && width < 120;
  return tableLines(
    Object.entries({ ...COLUMNS, ...(isNarrow ? {} : MORE_COLUMNS) }).map(([title, minimum], index) => ({
      title,
      cells: rows.map((row) => printable(row[index] ?? "")),
      ...(minimum === undefined || wide ? {} : { floors: [minimum] }),
    })),
    wide || width === undefined ? undefined : width - 2,
  ).map((line) => `  ${line}`);
}

const MARKS: Readonly<Record<LinkState, string>> = {
  ok: "ok",
  broken: "BROKEN",
  none: "-",
  unknown: "?",
  "not-asked": "not asked",
};
const TITLES: Readonly<Record<LinkName, string>> = {
  persistentVolume: "PersistentVolume",
  volumeAttachment: "VolumeAttachment",
  record: "record",
  export: "export",
  nqn: "NQN",
  controller: "controller",
  device: "device",
  staging: "staging mount",
  pods: "pod mounts",
};

function volumeLines(volumes: readonly Chain[], width: number | undefined, wide: boolean): readonly string[] {
  return volumes.flatMap(({ handle, persistentVolume, claim, links, brokenAt }) => {
    const names = [claim, persistentVolume].filter((name) => name !== undefined).join(", ");
    const open = links.filter(({ state: each }) => each === "unknown" || each === "not-asked").length;
    const whole = open === 0 ? "complete" : `nothing broken, ${open} of ${links.length} links not known`;
    const state = brokenAt === undefined ? whole : `broken at: ${TITLES[brokenAt]}`;
    const head = `  ${handle}${names === "" ? "" : ` (${names})`}: ${state}`;
    // A whole chain is shown in short.
    const shown = brokenAt === undefined && !wide ? [] : links;
    const rows = shown.map(
      ({ link, state: mark, detail }) => [`  ${TITLES[link]}`, `${MARKS[mark]} ${detail}`] as const,
    );
    return [...wrap(printable(head), width, "    "), ...pairLines(rows, width)];
  });
}

function userRows({ users }: Facts): Rows {
  return valueOr(users, { users: [] }).users.map(({ device, pid, command, how }) => [
    device,
    `process ${pid} (${command}, ${how})`,
  ]);
}

function hungRows({ hungTasks }: Facts): Rows {
  return valueOr(hungTasks, []).map(({ pid, command, because, waitsIn }) => [
    String(pid),
    `${command} ${because}${waitsIn === undefined ? "" : `, waits in ${waitsIn}`}`,
  ]);
}

function messageRows({ kernelLog }: Facts, most: number): Rows {
  return valueOr(kernelLog, [])
    .slice(-most)
    .map(({ ageSeconds, text }) => [`${shortDuration(ageSeconds)} ago`, text]);
}
