import { ros } from "../../routeros/script.ts";
import { type Answer, type Experiment, handled, limits, shown, unclear, unsafe } from "../experiment.ts";
import { type Scratch, SIZE, scratched } from "../scratch/scratch.ts";
import { done, exported, isLive, loses, NOTICE_MS, named, nqnOf, OFF, ON } from "./exported.ts";

async function fencing(scratch: Scratch): Promise<Answer> {
  const { host, set } = await exported(scratch, "fence");
  const [old, next] = [nqnOf("fence-1"), nqnOf("fence-2")];
  done(await set(ros`${named(old)} ${ON}`));
  await host.attach(old);
  const refused = await set(OFF);
  if (refused !== undefined) {
    return { answer: "busy", came: shown(refused), switches: { "connected-hosts": "busy" } };
  }
  if (!(await loses(host, old)))
    return { answer: "stays", came: `live ${NOTICE_MS / 1_000} s after its export ended` };
  done(await set(ros`${named(next)} ${ON}`));
  // The kernel tries the old NQN again each second.
  const isBack = await host.within(5_000, () => isLive(host, old));
  // A device that is the same under both NQNs would be refused beside its old self.
  await host.release();
  await host.attach(next);
  if (isBack) return { answer: "old-nqn-returns", came: "the old NQN is live again under the new export" };
  return {
    answer: "dropped",
    came: "the host lost it, and did not get it back",
    switches: { "connected-hosts": "dropped" },
  };
}

async function renamed(scratch: Scratch): Promise<Answer> {
  const { host, set } = await exported(scratch, "rename");
  const [old, next] = [nqnOf("rename-1"), nqnOf("rename-2")];
  done(await set(ros`${named(old)} ${ON}`));
  await host.attach(old);
  const refused = await set(named(next));
  if (refused !== undefined) return { answer: "refused", came: shown(refused) };
  const answer = (await loses(host, old)) ? "dropped" : "stays";
  return {
    answer,
    came: `its host ${answer === "stays" ? "keeps" : "loses"} the connection`,
    switches: { "renamed-export": answer },
  };
}

async function offAndOn(scratch: Scratch): Promise<Answer> {
  const { host, slot, set } = await exported(scratch, "re-export");
  const nqn = nqnOf("re-export");
  done(await set(ros`${named(nqn)} ${ON}`));
  await host.attach(nqn);
  const item = ros`[/disk/find where slot=${slot}]`;
  done(await scratch.refusal(ros`/disk/set ${item} ${OFF}; /disk/set ${item} ${ON}`));
  const isMissed = await host.within(5_000, async () => !(await isLive(host, nqn)));
  await host.until("the connection to come back", () => isLive(host, nqn));
  if (isMissed)
    return {
      answer: "effective",
      came: "the host lost the connection and has it again",
      switches: { "re-export": "effective" },
    };
  return { answer: "coalesced", came: "the host noticed nothing", switches: { "re-export": "coalesced" } };
}

async function growth(scratch: Scratch): Promise<Answer> {
  const { host, slot, set } = await exported(scratch, "grown");
  const nqn = nqnOf("grown");
  done(await set(ros`${named(nqn)} ${ON}`));
  await host.attach(nqn);
  done(await set(ros`file-size=${2n * SIZE}`));
  await scratch.until("the size", async () => (await scratch.disk(slot))?.size === 2n * SIZE);
  const isSeen = (withinMs: number) =>
    host.within(withinMs, async () => {
      await host.rescan(nqn);
      return (await host.look(nqn)).sizeBytes === 2n * SIZE;
    });
  if (await isSeen(5_000))
    return { answer: "at-once", came: "after a rescan", switches: { "online-resize": "at-once" } };
  done(await set(OFF));
  await scratch.bench.sleep(3_000);
  done(await set(ON));
  await host.until("the connection to come back", () => isLive(host, nqn));
  if (!(await isSeen(NOTICE_MS)))
    return { answer: "never", came: "not even after its export was off for 3 s" };
  return {
    answer: "after-reexport",
    came: "after its export was off for 3 s",
    switches: { "online-resize": "after-reexport" },
  };
}

async function allowList(scratch: Scratch): Promise<Answer> {
  const { host, set } = await exported(scratch, "allow");
  const nqn = nqnOf("allow");
  const { own, other } = host;
  const allow = (text: string) => set(ros`nvme-tcp-server-allow-host-name=${text}`);
  done(await allow(own.hostNqn));
  done(await set(ros`${named(nqn)} ${ON}`));
  await host.attach(nqn);
  done(await allow(other.hostNqn));
  const isRevoked = await loses(host, nqn);
  await host.release();
  const stranger = await host.connect(nqn);
  await host.release();
  const revoked = { "revoked-host": isRevoked ? "dropped" : "stays" };
  if (stranger === undefined) {
    return {
      answer: "ignored",
      came: "a host that is not named connects",
      switches: { "allow-host-name": "ignored" },
    };
  }
  done(await allow(`${own.hostNqn},${other.hostNqn}`));
  const both = await host.connect(nqn);
  await host.release();
  const answer = both === undefined ? "comma-list" : "exact";
  const came = `a host that is not named: ${shown(stranger)}; one of two: ${both === undefined ? "connects" : shown(both)}; a host that is connected ${isRevoked ? "loses" : "keeps"} the connection`;
  return { answer, came, switches: { "allow-host-name": answer, ...revoked } };
}

async function password(scratch: Scratch): Promise<Answer> {
  const { host, set } = await exported(scratch, "password");
  const nqn = nqnOf("password");
  const refused = await set(ros`${named(nqn)} nvme-tcp-server-password="csi-probe-password" ${ON}`);
  if (refused !== undefined) return { answer: "refused", came: shown(refused) };
  const why = await host.connect(nqn);
  const answer = why === undefined ? "not-enforced" : "enforced";
  return {
    answer,
    came: why === undefined ? "a host without it connects" : shown(why),
    switches: { "host-password": answer },
  };
}

async function identity(scratch: Scratch): Promise<Answer> {
  const { host, set } = await exported(scratch, "identity");
  const seen: string[] = [];
  for (const nqn of [nqnOf("identity-1"), nqnOf("identity-2"), nqnOf("identity-1")]) {
    done(await set(OFF));
    done(await set(ros`${named(nqn)} ${ON}`));
    seen.push((await host.attach(nqn)).identity);
    await host.release();
  }
  const [first, second, again] = seen;
  const answer = first === second ? "slot" : first === again ? "nqn" : "random";
  const came = seen.map((text) => shown(text)).join("; ");
  if (second !== again && first === second) return unclear(came);
  return { answer, came, switches: { "device-identity": answer } };
}

/** Releases what the machine has connected before the disks are removed. */
const released =
  (ask: (scratch: Scratch) => Promise<Answer>) =>
  async (scratch: Scratch): Promise<Answer> => {
    try {
      return await ask(scratch);
    } finally {
      await scratch.bench.host?.release();
    }
  };

const made = scratched("node");

/** Exports with this machine as their host. */
export const NODE: readonly Experiment[] = [
  made(
    "fencing",
    "Does a host lose its access when an export ends, and stay without it under a new NQN?",
    "connects a disk of 16 MiB, ends its export, and exports it under another NQN",
    ["connected-hosts"],
    {
      dropped: handled("Yes. A node that has lost its attachment writes no more."),
      busy: limits(
        "An export with a connected host does not end. The driver cannot fence a node that holds on; detach waits for it.",
      ),
      stays: unsafe("No: a node that has lost its attachment goes on writing. Do not use this device."),
      "old-nqn-returns": unsafe("A node that has lost its attachment gets it back. Do not use this device."),
    },
    released(fencing),
  ),
  made(
    "renamed-export",
    "Does a host lose its access when the NQN of a running export changes?",
    "connects a disk and changes its NQN",
    ["renamed-export"],
    {
      dropped: handled("Yes. The driver switches the export off first all the same."),
      stays: handled("No. The driver switches the export off first."),
      refused: handled("It is refused while the export is on. The driver switches the export off first."),
    },
    released(renamed),
  ),
  made(
    "off-and-on",
    "Does a host notice an export that goes off and on in one line?",
    "connects a disk, and switches its export off and on",
    ["re-export"],
    {
      effective: handled("Yes, and it comes back by itself."),
      coalesced: handled("No. The driver waits between off and on where hosts must notice."),
    },
    released(offAndOn),
  ),
  made(
    "growth-seen",
    "When does a host see a new size?",
    "connects a disk, and grows it",
    ["online-resize"],
    {
      "at-once": handled("At once, after a rescan. Volumes grow under running pods."),
      "after-reexport": limits(
        "After its export was off. Volumes grow under running pods with --online-expansion re-export only.",
      ),
      never: limits(
        "Not while it is connected. Volumes grow while no node has them; set --online-expansion refuse.",
      ),
    },
    released(growth),
  ),
  made(
    "allow-list",
    "Does an export keep out hosts that it does not name, and can it name two?",
    "connects a disk that names this machine, another one, and both",
    ["allow-host-name", "revoked-host"],
    {
      exact: limits(
        "It names one host. With --fencing epoch+hosts the driver has no list during a live migration.",
      ),
      "comma-list": handled("It can name two. --fencing epoch+hosts can be used."),
      ignored: limits(
        "No. --fencing epoch+hosts would protect nothing and is refused; --fencing epoch needs no list.",
      ),
    },
    released(allowList),
  ),
  made(
    "host-password",
    "Does a password keep hosts out?",
    "exports a disk with a password, and connects without one",
    ["host-password"],
    {
      "not-enforced": handled("No. The driver sets none."),
      enforced: handled("Yes. The driver sets none."),
      refused: handled("It is refused. The driver sets none."),
    },
    released(password),
  ),
  made(
    "device-identity",
    "Which identity has a disk under another NQN?",
    "connects a disk under two NQNs in turn",
    ["device-identity"],
    {
      slot: handled("The same. The driver releases the old connection before it makes a new one."),
      nqn: handled("One for each NQN."),
      random: limits(
        "A new one whenever its export begins: a host that reconnects loses its device, and its pod must start again.",
      ),
    },
    released(identity),
  ),
];
