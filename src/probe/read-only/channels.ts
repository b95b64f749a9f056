import { type Bench, LINE_MS } from "../bench.ts";
import { type Answer, type Experiment, handled, unclear } from "../experiment.ts";
import { type Exchange, isAnswered, type Session } from "../session.ts";

/** A line that waits. */
const hold = ({ settings }: Bench): string => `:delay ${settings.holdMs}ms; :put "csi-probe-held"`;

async function secondChannel(bench: Bench): Promise<Answer> {
  return await bench.withSession(async (session) => {
    const order: string[] = [];
    let held: Promise<Exchange> | undefined;
    await new Promise<void>((resolve) => {
      held = session.exec(hold(bench), LINE_MS, resolve).finally(() => {
        order.push("first ended");
        resolve();
      });
    });
    const second = await session.exec(`:put "csi-probe-second"`, LINE_MS, () => order.push("second opened"));
    order.push("second ended");
    const first = await held;
    const came = `${order.join(", ")}${isAnswered(second) ? "" : ` (${second.reason})`}`;
    if (first === undefined || !isAnswered(first)) return unclear(`the first was not answered; ${came}`);
    const is = (answer: string): Answer => ({ answer, came, switches: { "parallel-channels": answer } });
    if (!isAnswered(second)) {
      return second.ended === "notSent" || second.ended === "refused" ? is("second-refused") : unclear(came);
    }
    if (order.indexOf("second ended") < order.indexOf("first ended") || !order.includes("first ended"))
      return is("ok");
    const isOpenedBefore = order.indexOf("second opened") < order.indexOf("first ended");
    return is(isOpenedBefore ? "second-blocks" : "second-unconfirmed");
  });
}

/** One more than RouterOS and OpenSSH give by default. */
const CHANNELS = 11;

async function manyChannels(bench: Bench): Promise<Answer> {
  return await bench.withSession(async (session) => {
    const { holdMs } = bench.settings;
    const begun = bench.clock.monotonic();
    const limitMs = LINE_MS + holdMs * CHANNELS;
    const all = await Promise.all(Array.from({ length: CHANNELS }, () => session.exec(hold(bench), limitMs)));
    const seconds = (bench.clock.monotonic() - begun) / 1_000;
    const ran = all.filter(isAnswered).length;
    const refused = all.filter(
      (one) => !isAnswered(one) && ["notSent", "refused"].includes(one.ended),
    ).length;
    const came = `of ${CHANNELS} at once ${ran} ran and ${refused} were refused, in ${seconds.toFixed(1)} s`;
    if (ran + refused < CHANNELS || ran === 0) return unclear(came);
    // One after the other: the number of channels at a time is not seen.
    if (ran === CHANNELS) return { answer: seconds * 1_000 > holdMs * 3 ? "serial" : "many", came };
    return { answer: ran === 1 ? "one" : "some", came, switches: { "max-channels": String(ran) } };
  });
}

/** More than ssh2 leaves without an answer, which are three. */
const KEEPALIVES = 10;

async function keepalive(bench: Bench): Promise<Answer> {
  const { keepaliveMs: sshKeepaliveMs } = bench.settings;
  return await bench.withSession(
    async (session) => {
      let gone: string | undefined;
      // One wait for each request: a single long one may end, on a busy machine, before that many were sent.
      for (let count = 0; count < KEEPALIVES && gone === undefined; count += 1)
        gone = await Promise.race([session.closed, bench.sleep(sshKeepaliveMs).then(() => undefined)]);
      const answer = gone === undefined ? "yes" : "none";
      const came =
        gone === undefined
          ? `the connection lives after ${KEEPALIVES} requests`
          : `the connection ended: ${gone}`;
      return { answer, came, switches: { "keepalive-replies": answer } };
    },
    { sshKeepaliveMs },
  );
}

async function idle(bench: Bench): Promise<Answer> {
  const { idleMs } = bench.settings;
  return await bench.withSession(async (session) => {
    const gone = await Promise.race([session.closed, bench.sleep(idleMs).then(() => undefined)]);
    const after = `after ${idleMs / 1_000} s without a command`;
    if (gone !== undefined) return { answer: "ends", came: `the connection ended: ${gone}` };
    const answer = await session.exec(":put 1", LINE_MS);
    return isAnswered(answer)
      ? { answer: "lives", came: `answered ${after}` }
      : { answer: "ends", came: `${answer.reason} ${after}` };
  });
}

/** Begin and end of the loop of a line, nanoseconds. */
type Span = readonly [bigint, bigint];

const LOOP = `:local a [:tonsec [:timestamp]]; :local n 0; :for i from=1 to=300 do={ :set n ($n + $i) }; :put ("~" . $a . "~" . [:tonsec [:timestamp]] . "~")`;

async function span(bench: Bench, session: Session): Promise<Span | undefined> {
  const { stdout } = await bench.raw(LOOP, LINE_MS, session);
  const found = /~(\d+)~(\d+)~/.exec(stdout.replace(/[\r\n]/g, ""));
  return found === null ? undefined : [BigInt(found[1] ?? 0), BigInt(found[2] ?? 0)];
}

const ROUNDS = 8;

async function interleaving(bench: Bench): Promise<Answer> {
  return await bench.withSession(async (one) =>
    bench.withSession(async (other) => {
      let overlaps = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const [a, b] = await Promise.all([span(bench, one), span(bench, other)]);
        if (a === undefined || b === undefined) return unclear("no times");
        if (a[0] < b[1] && b[0] < a[1]) overlaps += 1;
      }
      const came = `${overlaps} of ${ROUNDS} pairs of lines ran at the same time`;
      // The rest is not settled: between a command and the find in its argument nothing can be seen from outside.
      return overlaps === 0
        ? { answer: "apart", came, switches: { interleaving: "none" } }
        : { answer: "together", came, switches: { interleaving: "statements" } };
    }),
  );
}

/** Connections and the channels in them. */
export const CHANNELS_OF_SSH: readonly Experiment[] = [
  {
    id: "second-channel",
    stage: "read-only",
    question: "Does a second command run while the first of the same connection does?",
    does: "sends one line that waits 2 s, and another one",
    answers: {
      ok: handled("The driver runs several commands on one connection."),
      "second-blocks": handled(
        "One after the other. The driver notices it, and uses a connection for each lane.",
      ),
      "second-unconfirmed": handled(
        "One after the other. The driver notices it, and uses a connection for each lane.",
      ),
      "second-refused": handled("The driver sends one command at a time on each connection."),
    },
    settles: ["parallel-channels"],
    limitMs: 60_000,
    ask: secondChannel,
  },
  {
    id: "many-channels",
    stage: "read-only",
    question: "How many channels may a connection have?",
    does: `sends ${CHANNELS} lines that wait 2 s`,
    answers: {
      many: handled("At least eleven, more than the driver uses."),
      some: handled("The driver learns the number from the first refusal."),
      one: handled("One. The driver learns it from the first refusal."),
      serial: handled("They run one after the other, so that their number stays unknown."),
    },
    settles: ["max-channels"],
    limitMs: 120_000,
    ask: manyChannels,
  },
  {
    id: "keepalive",
    stage: "read-only",
    question: "Does the RDS answer keepalive requests of SSH?",
    does: "opens a connection that sends one each second",
    answers: {
      none: handled("No. The driver uses those of TCP."),
      yes: handled("Yes. The driver uses those of TCP all the same."),
    },
    settles: ["keepalive-replies"],
    limitMs: 30_000,
    ask: keepalive,
  },
  {
    id: "idle",
    stage: "read-only",
    question: "Does an idle connection live?",
    does: "opens a connection and leaves it alone",
    answers: {
      lives: handled("Connections stay open between commands."),
      ends: {
        weight: "limits",
        driver: "Each pause costs the next command a new login. Look at the user's inactivity policy.",
      },
    },
    settles: [],
    limitMs: 3_700_000,
    ask: idle,
  },
  {
    id: "interleaving",
    stage: "read-only",
    question: "Do lines of two connections run at the same time?",
    does: "runs a loop on two connections, eight times",
    answers: {
      apart: handled("One line ends before the next begins. The driver does not rely on it."),
      together: handled(
        "Statements of two lines alternate. The driver writes records by compare-and-set, and reads them again.",
      ),
    },
    settles: ["interleaving"],
    limitMs: 120_000,
    ask: interleaving,
  },
];
