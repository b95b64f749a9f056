import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { FakeNode, told } from "./node.fixture.ts";

const ID = volumeIdFromName("a");
const NQN = `nqn.2000-02.com.mikrotik:${ID}.3`;
const PATH = "/var/lib/kubelet/pods/p/volumes/kubernetes.io~csi/pv/mount";

let node: FakeNode;
beforeEach(async () => {
  node = await FakeNode.start(NQN);
});
afterEach(() => node.close());

test("a node that is well: nothing is found, and the chain says what was not asked", async () => {
  const report = await node.diagnose();
  expect(told(report)).toEqual([]);
  expect(report.volumes).toHaveLength(1);
  const states = Object.fromEntries(report.volumes[0]?.links.map(({ link, state }) => [link, state]) ?? []);
  expect(states).toMatchObject({
    record: "not-asked",
    persistentVolume: "not-asked",
    controller: "ok",
    device: "ok",
  });
  expect(report.checks.filter(({ state }) => state === "not-asked").map(({ id }) => id)).toEqual([
    "cluster",
    "rds",
  ]);
});

test("a connection of the earlier driver, which has another host NQN, is used as it is", async () => {
  const other = "nqn.2014-08.org.nvmexpress:uuid:22222222-2222-4222-8222-222222222222";
  node.sysfs.rename("nqn.2000-02.com.mikrotik:pvc-01234567-89ab-cdef-0123-456789abcdef", other);
  expect(told(await node.diagnose())).toEqual([]);
});

test("the kernel's count of messages that it left out is no error", async () => {
  node.write("dev/kmsg", node.kernelSays(5, "nvme_log_error: 3 callbacks suppressed"));
  expect(told(await node.diagnose())).toEqual([]);
});

test("a node without volumes, where the configured address refuses: nothing listens before the first export", async () => {
  const at = { address: "127.0.0.1", port: node.port };
  node.sysfs.lose();
  await node.stopTarget();
  node.config = { ...node.config, storageAddresses: [{ ...at, source: "nvme-address" }] };
  expect(told(await node.diagnose())).toEqual([]);
  node.config = { ...node.config, storageAddresses: [{ ...at, source: "--storage-address" }] };
  expect(told(await node.diagnose())).toEqual(["storage-port-refused"]);
});

test("nothing that changes something is ever executed", async () => {
  node.mounts(node.mounted(PATH));
  await node.diagnose();
  const programs = new Set(node.ran.map((line) => line.split(" ")[0]?.split("/").at(-1)));
  expect(
    node.ran.filter((line) => /connect|modprobe (?!-V$)|umount \/|mount -o|mkfs\S+ \//.test(line)),
  ).toEqual([]);
  expect(programs).toContain("stat");
  expect(readdirSync(join(node.directory, "kubelet"))).toEqual(["plugins_registry"]);
});

/** What is broken, and the findings, the cause first. */
const BROKEN: Readonly<Record<string, readonly [(node: FakeNode) => void | Promise<void>, ...string[]]>> = {
  "module not loaded": [
    (on) => rmSync(join(on.sysfs.root, "module/nvme_tcp"), { recursive: true }),
    "nvme-tcp-module-missing",
  ],
  "a program is missing": [(on) => on.remove("bin/blkid"), "tool-missing"],
  "hostPID off": [
    (on) => {
      on.remove("proc/self/ns/pid");
    },
    "host-pid-off",
  ],
  "mounts stay in the container": [
    (on) => {
      on.write("proc/1/comm", "init\n");
      mkdirSync(join(on.directory, "proc/1/ns"));
      symlinkSync("mnt:[1]", join(on.directory, "proc/1/ns/mnt"));
      symlinkSync("mnt:[2]", join(on.directory, "proc/self/ns/mnt"));
      on.write("proc/self/mountinfo", `20 1 8:1 / ${on.config.kubeletDir} rw - ext4 /dev/sda1 rw\n`);
    },
    "mount-propagation-off",
  ],
  "the identity of /etc/nvme is that of a clone": [
    (on) =>
      on.write(
        "etc/nvme/hostnqn",
        `nqn.2014-08.org.nvmexpress:uuid:${"0".repeat(8)}-0000-0000-0000-${"0".repeat(12)}\n`,
      ),
    "host-identity-shared",
  ],
  "no kernel log": [(on) => on.remove("dev/kmsg"), "kernel-log-unreadable"],
  "the plugin is not ready": [
    async (on) => {
      await on.stopPlugin();
      await on.startPlugin(false);
    },
    "plugin-not-ready",
  ],
  "another driver on the socket": [
    async (on) => {
      await on.stopPlugin();
      await on.startPlugin(true, "other.example");
    },
    "plugin-other-driver",
  ],
  "no plugin": [(on) => on.stopPlugin(), "plugin-socket-missing"],
  "a socket without a plugin": [
    async (on) => {
      await on.stopPlugin();
      on.write("csi.sock", "");
    },
    "plugin-not-answering",
  ],
  "the registrar is missing, while another driver is registered": [
    (on) => {
      on.remove("kubelet/plugins_registry/rds.csi.srvlab.io-reg.sock");
      on.write("kubelet/plugins_registry/other.example-reg.sock", "");
    },
    "plugin-registration-missing",
  ],
  "nothing listens": [
    async (on) => {
      await on.stopTarget();
      on.sysfs.state = "connecting";
    },
    "storage-port-refused",
    "connection-not-live < storage-port-refused",
  ],
  "the node's LVM holds the device": [
    (on) => {
      const holder = join(on.sysfs.subsystem, "nvme0n1/holders/dm-3/dm");
      mkdirSync(holder, { recursive: true });
      writeFileSync(join(holder, "name"), "guest-root\n");
      writeFileSync(join(holder, "uuid"), "LVM-abc\n");
    },
    "device-held-by-host",
  ],
  "connected as another host": [
    (on) => on.sysfs.set("hostnqn", "nqn.2014-08.org.nvmexpress:uuid:22222222-2222-4222-8222-222222222222"),
    "connected-as-other-host",
  ],
  "the target refuses, and the kernel gives up at some time": [
    (on) => {
      on.sysfs.state = "connecting";
      on.sysfs.set("ctrl_loss_tmo", "600");
      on.write(
        "dev/kmsg",
        [
          on.kernelSays(90, 'nvme nvme0: new ctrl: NQN "x", addr 127.0.0.1:4420'),
          on.kernelSays(60, "nvme nvme0: starting error recovery"),
          on.kernelSays(50, 'nvme nvme0: Connect Invalid Data Parameter, subsysnqn "x"'),
        ].join(""),
      );
    },
    "target-refuses-connection",
    "connection-not-live < target-refuses-connection",
    "connection-gives-up-soon < target-refuses-connection",
    "nvme-kernel-errors < target-refuses-connection",
  ],
  "the host list excludes this node": [
    (on) => {
      on.sysfs.state = "connecting";
      on.write(
        "dev/kmsg",
        on.kernelSays(1_000, "nvme nvme0: Connect for subsystem x is not allowed, hostnqn: y"),
      );
    },
    "host-not-allowed",
    "connection-not-live < host-not-allowed",
  ],
  "no namespace": [(on) => on.sysfs.loseDevice(), "connection-no-namespace"],
  "two devices": [(on) => on.sysfs.addDevice("nvme0n2"), "device-ambiguous"],
  "a stale mount": [
    (on) => {
      on.sysfs.lose();
      on.mounts(on.mounted(`${on.config.kubeletDir}/x/${ID}/mount`, { device: "259:7" }));
    },
    "mount-device-vanished",
    "storage-address-unknown",
  ],
  "errors of the filesystem": [
    (on) => {
      on.mounts(on.mounted(PATH, { super: "ro" }));
    },
    "filesystem-read-only",
  ],
  "stacked mounts": [
    (on) => on.mounts(...Array.from({ length: 6 }, () => on.mounted(PATH))),
    "mounts-stacked",
  ],
};

for (const [name, [break_, ...expected]] of Object.entries(BROKEN)) {
  test(name, async () => {
    await break_(node);
    expect(told(await node.diagnose())).toEqual(expected);
  });
}

test("a filesystem that never answers is a finding, in time, and nothing is waited for", async () => {
  node.mounts(node.mounted(PATH));
  node.sysfs.state = "connecting";
  node.answer = (program) => (program === "stat" ? new Promise(() => {}) : undefined);
  const report = await node.diagnose({ limitMs: 1_000 });
  expect(told(report)).toContain("check-unanswered");
  expect(told(report).slice(0, 2)).toEqual(["connection-not-live", "io-waits < connection-not-live"]);
});

test("a filesystem that is silent is named, while other checks of the same kind answer", async () => {
  node.mounts(node.mounted(PATH));
  const silent = (signal?: AbortSignal) =>
    new Promise<never>((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  node.answer = (program, signal) => (program === "stat" ? silent(signal) : undefined);
  const report = await node.diagnose();
  expect(told(report)).toEqual(["mount-not-answering"]);
  expect(report.findings[0]?.evidence).toEqual([`${PATH}: no answer within 2 s`]);
});

test("a pod's device node that leads to the next volume's device: its own volume's device is told as vanished", async () => {
  const other = volumeIdFromName("b");
  const base = "kubelet/plugins/kubernetes.io/csi/volumeDevices";
  const record = JSON.stringify({ driverName: node.config.driverName, volumeHandle: other });
  node.write(`${base}/pv-b/data/vol_data.json`, record);
  const path = join(node.directory, base, "publish/pv-b/pod-1");
  for (const root of ["/nvme0n1", "/nvme0n1//deleted"]) {
    node.mounts(`91 22 0:6 ${root} ${path} rw shared:9 - devtmpfs devtmpfs rw`);
    const report = await node.diagnose();
    expect(report.findings.map(({ id, volume }) => [id, volume])).toEqual([["mount-device-vanished", other]]);
  }
});
