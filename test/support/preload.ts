import fc from "fast-check";

/**
 * Property tests run the same cases every time, so that a red run can be repeated. A soak sets another seed:
 * RDS_CSI_TEST_SEED=$RANDOM scripts/test
 */
const seed = Number(process.env.RDS_CSI_TEST_SEED ?? 20_261_122);
fc.configureGlobal({ seed });
