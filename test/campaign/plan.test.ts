import { describe, expect, test } from "bun:test";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { parseFault } from "../../src/simulator/faults.ts";
import { Random } from "../fuzz/random.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { shrink } from "./shrink.ts";
import { kindOf } from "./strikes.ts";

const planOf = (seed: number) => drawPlan(seed, new Random(seed));
const many = Array.from({ length: 300 }, (_, seed) => planOf(seed));

describe("a plan", () => {
  test("is decided by its seed, and another seed decides another", () => {
    expect(planOf(7)).toEqual(planOf(7));
    expect(planOf(7)).not.toEqual(planOf(8));
    expect(JSON.parse(JSON.stringify(planOf(7)))).toEqual(planOf(7));
  });

  test("of some seeds has each action, each fault and each kind of a volume", () => {
    const actions = new Set(
      many.flatMap(({ volumes }) => volumes.flatMap((each) => each.actions.map((one) => one.do))),
    );
    expect([...actions].sort()).toEqual(
      "attach busy capacity crash create delete detach elsewhere expand force leave list migrate race read stats write".split(
        " ",
      ) as never,
    );
    const faults = new Set(many.flatMap((plan) => plan.faults.map(({ fault }) => fault)));
    expect([...faults].sort()).toEqual(
      "api clock kill pool rds reboot release stop switches term".split(" ") as never,
    );
    const kinds = new Set(many.flatMap(({ volumes }) => volumes.map(({ kind }) => kind)));
    expect([...kinds].sort()).toEqual(["block", "filesystem", "machine"]);
  });

  test("has faults that the simulator knows, each of its kinds", () => {
    const rules = many.flatMap(({ faults }) =>
      faults.flatMap((step) => (step.fault === "rds" ? [parseFault(step.rule).action.kind] : [])),
    );
    expect([...new Set(rules)].sort()).toEqual(
      "cutAfter cutBefore cutMidway delay diskFull hang hangMidway permissionMissing refuseSessions truncateOutput".split(
        " ",
      ) as never,
    );
  });
});

describe("any 15 seeds in succession", () => {
  /** Everything that each window of seeds must have. */
  const traitsOf = ({ orchestrator, controllers, fencing, profile, onlineExpansion, faults }: Plan) => [
    ...[`${orchestrator}, ${controllers}`, fencing, profile, onlineExpansion],
    ...faults.map(kindOf),
  ];
  const all = [...new Set(many.flatMap(traitsOf))].sort();

  test("have each kind of fault, each fault of the API server, each fencing, profile, orchestrator and number of controllers", () => {
    expect(all).toEqual(
      [
        ...["none, 1", "none, 2", "kubernetes, 1", "kubernetes, 2", "epoch", "epoch+hosts", "off"],
        ...["current", "hostile", "strict", "old", "announce", "re-export"],
        ...["down", "hang", "slow", "500", "429", "drop"].map((how) => `api ${how}`),
        ...["cutAfter", "cutBefore", "cutMidway", "delay", "diskFull", "hang", "hangMidway"].map(
          (kind) => `rds ${kind}`,
        ),
        ...["permissionMissing", "refuseSessions", "truncateOutput"].map((kind) => `rds ${kind}`),
        ...["clock", "kill", "pool", "reboot", "release", "stop", "switches", "term"],
      ].sort(),
    );
    for (let from = 0; from + 15 <= many.length; from += 1) {
      const found = new Set(many.slice(from, from + 15).flatMap(traitsOf));
      expect([from, ...all.filter((trait) => !found.has(trait))]).toEqual([from]);
    }
  });

  test("have no forced detach without fencing, as nothing would keep the old node from writing", () => {
    const actions = many
      .filter(({ fencing }) => fencing === "off")
      .flatMap(({ volumes }) => volumes.flatMap((each) => each.actions.map((one) => one.do)));
    expect(actions).toContain("detach");
    expect(actions).not.toContain("force");
  });
});

describe("shrinking", () => {
  const detaches = (plan: Plan) =>
    plan.volumes.some(({ actions }) => actions.some((each) => each.do === "detach"));
  const kills = (plan: Plan) => plan.faults.some(({ fault }) => fault === "kill");
  const failing = many.find(
    (plan) => detaches(plan) && kills(plan) && plan.faults.length > 6 && plan.volumes.length > 2,
  ) as Plan;

  test("leaves one volume, one action and one fault of a round that fails by these two", async () => {
    let attempts = 0;
    const least = await shrink(failing, {
      more: () => true,
      fails: async (plan) => {
        attempts += 1;
        return detaches(plan) && kills(plan);
      },
    });
    expect(least.volumes.map(({ actions }) => actions)).toEqual([[{ do: "detach" }]]);
    expect(least.faults.map(({ fault }) => fault)).toEqual(["kill"]);
    expect([least.profile, least.switches, least.controllers]).toEqual(["current", {}, 1]);
    expect(attempts).toBeLessThan(120);
  });

  test("first leaves out the volumes that the failure does not name", async () => {
    const [, named] = failing.volumes;
    const tried: number[] = [];
    await shrink(failing, {
      about: `left behind: disk item ${volumeIdFromName(named?.name ?? "")}`,
      more: () => tried.length < 1,
      fails: async ({ volumes }) => {
        expect(volumes).toEqual([named] as never);
        tried.push(volumes.length);
        return true;
      },
    });
    expect(tried).toEqual([1]);
  });

  test("ends when its time is over, with the least plan so far", async () => {
    let left = 3;
    const least = await shrink(failing, { more: () => left-- > 0, fails: async () => true });
    expect(least.volumes.length).toBeLessThan(failing.volumes.length);
    expect(left).toBe(-1);
  });
});
