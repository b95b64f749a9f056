import { parseArgs } from "node:util";

/**
 * Compiles one entry file into an executable; scripts/build calls it with checked arguments.
 *
 *   bun scripts/lib/compile.ts --entry src/main.ts --outfile dist/rds-csi --version 1.2.3 --commit abc
 *       [--target bun-linux-arm64] [--runtime FILE]
 */
const { values } = parseArgs({
  options: {
    entry: { type: "string" },
    outfile: { type: "string" },
    version: { type: "string" },
    commit: { type: "string" },
    target: { type: "string" },
    runtime: { type: "string" },
  },
});
const { entry, outfile, version, commit, target, runtime } = values;
if (entry === undefined || outfile === undefined || version === undefined || commit === undefined) {
  throw new Error("compile: --entry, --outfile, --version and --commit are required");
}

/**
 * ssh2 tries native modules and does without when they are missing. Left to Bun, the executable would look for them
 * at run time from its working directory, so that the owner of that directory could put code into the driver.
 */
const withoutNativeModules: Bun.BunPlugin = {
  name: "without-native-modules",
  setup(build) {
    build.onResolve({ filter: /^cpu-features$|\.node$/ }, ({ path }) => ({ path, namespace: "absent" }));
    build.onLoad({ filter: /.*/, namespace: "absent" }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(`${path} is not part of this executable`)});`,
      loader: "js",
    }));
  },
};

/**
 * prom-client loads with its metrics a collector of the runtime's figures, a gateway and a registry of several processes: a third of a
 * process's start. The driver uses none of them, and a test looks for that.
 */
const withoutUnusedMetrics: Bun.BunPlugin = {
  name: "without-unused-metrics",
  setup(build) {
    const unused = /^\.\/lib\/(?:cluster|defaultMetrics|pushgateway)$/;
    build.onResolve({ filter: unused }, ({ path, importer }) =>
      /\/prom-client\/index\.js$/.test(importer) ? { path, namespace: "unused" } : undefined,
    );
    build.onLoad({ filter: /.*/, namespace: "unused" }, () => ({
      contents: "module.exports = undefined;",
      loader: "js",
    }));
  },
};

/**
 * ssh2 tells a session of a server from a channel by the name of its class, which minifying changes. A connection that was cut while a
 * session had no command yet then left an error in the log, its other channels unclosed, and 1 as the later exit code. A channel has
 * `incoming`, a session has not.
 */
const withSessions: Bun.BunPlugin = {
  name: "with-sessions",
  setup(build) {
    build.onLoad({ filter: /\/ssh2\/lib\/utils\.js$/ }, async ({ path }) => {
      const source = await Bun.file(path).text();
      const byName = "channel.constructor.name === 'Session'";
      if (source.split(byName).length !== 2)
        throw new Error(`compile: ${path} has changed: look for ${byName}`);
      return { contents: source.replace(byName, "channel.incoming === undefined"), loader: "js" };
    });
  },
};

const result = await Bun.build({
  entrypoints: [entry],
  target: "bun",
  format: "esm",
  minify: true,
  bytecode: true,
  sourcemap: "linked",
  // Keeps modules that a command does not import out of its start-up.
  splitting: true,
  plugins: [withoutNativeModules, withoutUnusedMetrics, withSessions],
  define: {
    RDS_CSI_VERSION: JSON.stringify(version),
    RDS_CSI_COMMIT: JSON.stringify(commit),
    // Of packages: they would be paths of this machine and make builds differ.
    __dirname: JSON.stringify("/"),
    __filename: JSON.stringify("/"),
  },
  compile: {
    outfile,
    // Otherwise the program would obey files of its working directory.
    autoloadDotenv: false,
    autoloadBunfig: false,
    autoloadTsconfig: false,
    autoloadPackageJson: false,
    ...(target === undefined ? {} : { target: target as Bun.Build.CompileTarget }),
    ...(runtime === undefined ? {} : { executablePath: runtime }),
  },
});
for (const message of result.logs) console.error(String(message));
