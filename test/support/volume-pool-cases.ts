import { ifKnown, known } from "../../src/inspect/fact.ts";
import type { PoolFacts } from "../../src/inspect/facts.ts";
import type { Case } from "./volume-cases.ts";
import { consistentFacts, GIB } from "./volume-facts.ts";

const pool = (more: Partial<PoolFacts>) =>
  known({ ...(ifKnown(consistentFacts().rds.pool) as PoolFacts), ...more });

/** The states of a mounted pool. */
export const POOL_CASES: readonly Case[] = [
  {
    what: "a pool that does without a disk",
    ids: ["pool-degraded"],
    change: { rds: { pool: pool({ arrayTroubles: ['array storage-pool is "clean, degraded"'] }) } },
  },
  {
    what: "a pool that fills up",
    ids: ["pool-filling"],
    change: { rds: { pool: pool({ freeBytes: 100n * GIB - 1n, sizeBytes: 1000n * GIB }) } },
  },
  {
    what: "a pool of which a tenth is free",
    ids: [],
    change: { rds: { pool: pool({ freeBytes: 100n * GIB, sizeBytes: 1000n * GIB }) } },
  },
  {
    what: "a pool that does not say how much is free",
    ids: [],
    change: { rds: { pool: pool({ freeBytes: undefined }) } },
  },
];
