/** A mutant that no test can notice. */
export interface Explanation {
  /** As `scripts/mutate` prints it. */
  readonly key: string;
  readonly why: string;
}

/** The survivors, each with the reason. An entry without a mutant fails the run. */
export const EXPLAINED: readonly Explanation[] = [
  ...because("a publish with `auto` asks for the limit before: it is there", [
    "src/migration/publish.ts secondAttach: evidence.allowedSeconds ?? 0 → evidence.allowedSeconds",
    "src/migration/publish.ts secondAttach: 0 → (0 + 1)",
  ]),
  ...because("pods without a machine were refused before, and one pod is there", [
    "src/migration/guard.ts judgeClaimUsers: each.vmi ?? [] → each.vmi",
    "src/migration/guard.ts judgeClaimUsers: vmi === undefined || others.some(({ uid }) => uid !== vmi.uid) → others.some(({ uid }) => uid !== vmi.uid)",
  ]),
  ...because("the text `absent` has no UID, so it differs from that of the machine", [
    'src/migration/live-migration.ts judgeMigration: state === "absent" || (state !== undefined && state.uid !== vmi.uid) → (state !== undefined && state.uid !== vmi.uid)',
    'src/migration/live-migration.ts judgeMigration: "absent" → ""',
  ]),
  ...because("inside of a class a second ^ is a character that the class has", [
    "src/routeros/quote.ts escapeRegex: /[.[\\]\\\\()*+?{}|^$]/g → /[.[^\\]\\\\()*+?{}|^$]/g",
  ]),
  ...because("the name of a symbol is for people", ['src/routeros/script.ts top: "nonce" → ""']),
  ...because("an empty part renders as nothing", [
    'src/routeros/script.ts fromTemplate: text !== "" → true',
    'src/routeros/script.ts fromTemplate: "" → "mutant"',
  ]),
  ...because("every line end goes, one by one or together", [
    "src/routeros/envelope.ts flatten: /[\\r\\n]+/g → /[\\r\\n]/g",
  ]),
  ...because("two markers do not begin one character apart", [
    "src/routeros/envelope.ts printedAt: 1 → (1 + 1) (2)",
  ]),
  ...because("the end of a payload lies behind its start, so never at 0", [
    "src/routeros/envelope.ts between: to < 0 → to <= 0",
    "src/routeros/envelope.ts between: 0 → (0 + 1) (2)",
  ]),
  ...because("a third word for the content, whichever, leads to the same steps", [
    'src/node/filesystem/ensure-filesystem.ts contentOf: return "remains"; → return undefined as never;',
    'src/node/filesystem/ensure-filesystem.ts contentOf: "remains" → ""',
  ]),
  ...because("nothing and false are the same answer to its only question", [
    'src/node/filesystem/ensure-filesystem.ts holdsWanted: "none" → ""',
    "src/node/filesystem/ensure-filesystem.ts holdsWanted: return false; → return undefined as never;",
  ]),
  ...because("a mark with an epoch has 1 at least, which is neither 0 nor -1", [
    "src/node/filesystem/ensure-filesystem.ts isRecent: epoch > 0 && mark.epoch > 0 → mark.epoch > 0",
    "src/node/filesystem/ensure-filesystem.ts isRecent: epoch > 0 → epoch >= 0",
  ]),
  ...because("the first look is asked for `there` alone, and the second one for all but the short answer", [
    'src/node/filesystem/ensure-filesystem.ts ensureFilesystem: "everything" → ""',
    'src/node/filesystem/ensure-filesystem.ts contentOf: return "nothing"; → return undefined as never;',
    'src/node/filesystem/ensure-filesystem.ts contentOf: "nothing" → ""',
  ]),
  ...because("a file that is no device has the number `` (statPath)", [
    'src/mount/users.ts nodeMounts: seen?.kind === "block" && seen.number === device.number → seen.number === device.number',
  ]),
  ...because(
    "how much is read at once; a device takes multiples of its sectors only (direct-reader.test.ts)",
    ["src/mount/blank.ts top: 1024 → (1024 + 1)", "src/mount/blank.ts top: 1024 → (1024 + 1) (2)"],
  ),
  ...because("places outside of the device are clipped away, and its end is read anyway", [
    "src/mount/blank.ts blankRegions: power * group < size → power * group <= size",
    "src/mount/blank.ts blankRegions: power * group → power / group",
    "src/mount/blank.ts blankRegions: offset < size → offset <= size",
    "src/mount/blank.ts merge: end > start → end >= start",
  ]),
  ...because("without a zero, or with nothing before it, there is no text of a mark either", [
    "src/mount/mkfs-mark.ts decodeMark: end < 0 || bytes.subarray(end).some((byte) => byte !== 0) → bytes.subarray(end).some((byte) => byte !== 0)",
    "src/mount/mkfs-mark.ts decodeMark: end < 0 → end <= 0",
    "src/mount/mkfs-mark.ts decodeMark: 0 → (0 + 1) (2)",
  ]),
  ...because("the groups of a match are there, and a digest has 32 digits", [
    'src/mount/mkfs-mark.ts decodeMark: "" → "mutant"',
    'src/mount/mkfs-mark.ts decodeMark: "" → "mutant" (2)',
    'src/mount/mkfs-mark.ts decodeMark: "" → "mutant" (3)',
    'src/domain/filesystem-uuid.ts uuidFrom: "8" → ""',
    'src/domain/filesystem-uuid.ts uuidFrom: "89ab"[Number.parseInt(hex[16] ?? "0", 16) % 4] ?? "8" → "89ab"[Number.parseInt(hex[16] ?? "0", 16) % 4]',
    'src/domain/filesystem-uuid.ts uuidFrom: hex[16] ?? "0" → hex[16]',
    'src/domain/filesystem-uuid.ts uuidFrom: "0" → ""',
    'src/domain/filesystem-uuid.ts uuidFrom: "8" → "" (2)',
    "src/domain/filesystem-uuid.ts uuidFrom: 32 → (32 + 1)",
  ]),
  ...because("one hexadecimal digit is the same number in base 17", [
    "src/domain/filesystem-uuid.ts uuidFrom: 16 → (16 + 1) (2)",
  ]),
  ...because("nothing is mounted at no path", [
    "src/node/verbs/release.ts release: path === undefined → false",
    "src/node/verbs/release.ts release: path !== undefined && staged.some((mount) => mount.device === device.number) → staged.some((mount) => mount.device === device.number)",
  ]),
  ...because("one entry more or less does not decide whether fuser is run for 200 000", [
    "src/mount/users.ts blockUsers: 0 → (0 + 1)",
  ]),
  ...because("the case does nothing", ['src/mount/users.ts blockUsers: "free" → ""']),
  ...because("a line of /proc/swaps without the word `partition` in its place counts for nothing", [
    'src/mount/users.ts swapOn: "" → "mutant"',
    'src/mount/users.ts swapOn: text.split("\\n").slice(1) → text.split("\\n")',
    'src/mount/users.ts swapOn: "" → "mutant" (2)',
  ]),
  ...because("a path on the RDS never begins with a slash (diskFromRow)", [
    'src/rds/place.ts poolAt: mounted && mountPoint !== "" → mounted',
    'src/rds/place.ts poolAt: "" → "mutant"',
  ]),
  ...because("split() always gives a first part", [
    'src/rds/place.ts awayName: mountPointIn(disk.filePath, { directory }, id) ?? disk.filePath.split("/", 1)[0] ?? disk.filePath → mountPointIn(disk.filePath, { directory }, id) ?? disk.filePath.split("/", 1)[0]',
    "src/rds/place.ts awayName: 1 → (1 + 1)",
  ]),
  ...because("only a line about a subvolume asks whose label it is", [
    'src/rds/remove.ts remove: subvolume?.label ?? "" → subvolume?.label',
    'src/rds/remove.ts remove: "" → "mutant"',
  ]),
  ...because("equal reads share a reply by their condition, which is part of the key beside this text", [
    // biome-ignore lint/suspicious/noTemplateCurlyInString: a source text
    'src/rds/leftover.ts findLeftover: `leftover:${id}` → ""',
    'src/rds/leftover.ts awayPools: "away" → ""',
  ]),
  ...because("the text is for the log", [
    'src/rds/leftover.ts awayPools: "look for pools that are not mounted" → ""',
  ]),
  ...because("each id that no volume has is as good", ['src/rds/leftover.ts awayPools: "" → "mutant"']),
  ...because("no cluster has such an id", [
    'src/rds/leftover.ts findLeftover: "" → "mutant"',
    'src/rds/leftover.ts awayPools: "" → "mutant" (2)',
    'src/rds/leftover.ts awayPools: context.clusterId ?? "" → context.clusterId',
  ]),
  ...because(
    "a poll reads nothing if its first value ends it (pollUntil), and its end implies the condition",
    [
      "src/rds/write-record.ts confirm: now !== undefined && now.comment === comment && !isSettled(write, now) → true",
      "src/rds/write-record.ts confirm: now !== undefined && now.comment === comment && !isSettled(write, now) → now !== undefined && now.comment === comment",
      "src/rds/write-record.ts confirm: now !== undefined && now.comment === comment → now !== undefined",
    ],
  ),
  ...because(
    "a record without attachments switches the export off in each state but `leave` (wantedExport)",
    ['src/rds/write-record.ts writeRecord: "off" → ""'],
  ),
  ...because("a value that is undefined adds no text to a script, as an empty one (fromTemplate)", [
    "src/rds/write-record.ts hostsOf: return ros``; → return undefined as never;",
  ]),
  ...because("the part behind it takes any letter and blank too, 200 of them", [
    "src/routeros/failure-class.ts top: /(?:bad command name|bad parameter|unknown parameter|syntax error|expected [a-z ]+)[^~(]{0,200}\\(line \\d+ column \\d+\\)$/i → /(?:bad command name|bad parameter|unknown parameter|syntax error|expected [a-z ])[^~(]{0,200}\\(line \\d+ column \\d+\\)$/i",
  ]),
  ...because(
    "how much of a text is looked at, for its time: the reason is in the first 300 characters, and the position in the last 400",
    [
      "src/routeros/failure-class.ts rejectionOf: trimmed.slice(-400) → trimmed",
      "src/routeros/failure-class.ts rejectionOf: 400 → (400 + 1)",
      "src/routeros/failure-class.ts tidyFailure: text .slice(0, 2_000) → text",
      "src/routeros/failure-class.ts tidyFailure: 2_000 → (2_000 + 1)",
    ],
  ),
  ...because("the part behind it takes digits too", [
    "src/routeros/failure-class.ts tidyFailure: /(?:\\s*\\((?:[^()]*;\\s*)?line \\d+[^()]*\\))+\\s*$/i → /(?:\\s*\\((?:[^()]*;\\s*)?line \\d[^()]*\\))+\\s*$/i",
  ]),
  ...because("a text without a UUID, and one with another word, are of no maker that is known", [
    'src/mount/holders.ts holder: uuid ?? "" → uuid',
    'src/mount/holders.ts holder: "" → "mutant"',
  ]),
  ...because("the parts of a split text have a first one", ['src/mount/holders.ts lvmText: "" → "mutant"']),
  ...because("the level of an array counts only where there is no map", [
    "src/mount/holders.ts holder: map === undefined → true",
  ]),
  ...because("no component begins with a dot (COMPONENT)", [
    'src/rds/layout.ts isSafePath: COMPONENT.test(component) && component !== ".." → COMPONENT.test(component)',
    'src/rds/layout.ts isSafePath: ".." → ""',
  ]),
];

function because(why: string, keys: readonly string[]): readonly Explanation[] {
  return keys.map((key) => ({ key, why }));
}
