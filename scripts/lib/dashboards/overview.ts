import { bars, type Dashboard, graph, p95, q, RATE, stat } from "./grafana.ts";

/** The installation as a whole. */
export const OVERVIEW: Dashboard = {
  uid: "rds-csi-overview",
  title: "rds-csi / Overview",
  description: "Volumes, pools, migrations, calls and the RDS of one installation",
  variables: {},
  rows: [
    {
      title: "Now",
      panels: [
        stat(
          "Last answer of the RDS",
          "s",
          "Age. Above 65 s the RDS does not answer.",
          "time() - max(rds_csi_rds_last_success_timestamp_seconds)",
          300,
        ),
        stat(
          "Volumes",
          "short",
          "Of this installation, and those that PersistentVolumes name.",
          "sum(max by (state) (rds_csi_volumes))",
        ),
        stat(
          "Broken or missing",
          "short",
          "Volumes with an error; `volumes list --problems` names them.",
          'sum(max by (state) (rds_csi_volumes{state=~"broken|missing"}))',
          1,
        ),
        stat(
          "On two nodes",
          "short",
          "Volumes in a live migration.",
          "max(rds_csi_attachment_dual_attached_volumes)",
        ),
        stat(
          "Abnormal on nodes",
          "short",
          "Volumes that a node cannot use as it should.",
          'sum(rds_csi_node_volumes{condition="abnormal"})',
          1,
        ),
        stat(
          "Connections not live",
          "short",
          "NVMe connections whose I/O waits.",
          'sum(rds_csi_node_connections{state!="live"})',
          1,
        ),
      ],
    },
    {
      title: "Volumes",
      panels: [
        graph(
          "Volumes by state",
          "short",
          "As of the leader's last look, every five minutes.",
          q("max by (state) (rds_csi_volumes)", "{{state}}"),
        ),
        bars(
          "Findings",
          "Volumes with each finding; docs/volumes.md says what to do.",
          q("max by (finding) (rds_csi_volume_findings)", "{{finding}}"),
        ),
        bars(
          "Drift",
          "Attachments on which record, export and cluster disagree.",
          q("max by (kind) (rds_csi_attachment_drift)", "{{kind}}"),
        ),
      ],
    },
    {
      title: "Pools",
      panels: [
        graph(
          "Free",
          "percentunit",
          "Share of the filesystem that is free.",
          q("min by (pool) (rds_csi_pool_free_bytes / rds_csi_pool_size_bytes)", "{{pool}}"),
        ),
        graph(
          "Space",
          "bytes",
          "Promised above size: the volumes cannot all be written full.",
          q("max by (pool) (rds_csi_pool_size_bytes)", "{{pool}} size"),
          q("max by (pool) (rds_csi_pool_free_bytes)", "{{pool}} free"),
          q("max by (pool) (rds_csi_pool_promised_bytes)", "{{pool}} promised"),
        ),
        graph(
          "Snapshots",
          "short",
          "Of this installation.",
          q("max by (pool) (rds_csi_snapshots)", "{{pool}}"),
        ),
        graph(
          "Snapshots may hold",
          "bytes",
          "At most; RouterOS shows no exact figure.",
          q("max by (pool) (rds_csi_snapshot_bytes_max)", "{{pool}}"),
        ),
        graph(
          "Age of these readings",
          "s",
          "Read every 65 s.",
          q("time() - max(rds_csi_pool_read_timestamp_seconds)", "age"),
        ),
      ],
    },
    {
      title: "Live migrations",
      panels: [
        graph(
          "Active",
          "short",
          "Overdue ones too.",
          q("max(rds_csi_migration_active_migrations)", "active"),
        ),
        graph(
          "Ended, per hour",
          "short",
          "By result.",
          q("sum by (result) (increase(rds_csi_migration_migrations_total[1h]))", "{{result}}"),
        ),
        graph(
          "Duration of the last day",
          "s",
          "From the second attachment to the end: mean, and 95 of 100.",
          q(
            "sum(increase(rds_csi_migration_duration_seconds_sum[24h])) / sum(increase(rds_csi_migration_duration_seconds_count[24h]))",
            "mean",
          ),
          q(
            "histogram_quantile(0.95, sum by (le) (increase(rds_csi_migration_duration_seconds_bucket[24h])))",
            "p95",
          ),
        ),
        graph(
          "Refused attachments, per hour",
          "short",
          "`not-proven` for long: a second writer, or a lost node.",
          q("sum by (cause) (increase(rds_csi_attachment_refusals_total[1h]))", "{{cause}}"),
        ),
      ],
    },
    {
      title: "CSI calls",
      panels: [
        graph(
          "Calls",
          "ops",
          "By method, of controllers and nodes.",
          q(`sum by (method) (rate(rds_csi_operations_total[${RATE}]))`, "{{method}}"),
        ),
        graph(
          "Calls by result",
          "ops",
          "ABORTED and UNAVAILABLE are repeated by their callers. INTERNAL: see the alert RdsCsiInternalErrors.",
          q(`sum by (grpc_code) (rate(rds_csi_operations_total[${RATE}]))`, "{{grpc_code}}"),
        ),
        graph(
          "Duration, 95 of 100",
          "s",
          "From receipt to answer.",
          q(p95("rds_csi_operation_duration_seconds", "method"), "{{method}}"),
        ),
        graph(
          "In flight",
          "short",
          "Calls that run.",
          q("sum by (method) (rds_csi_operations_in_flight)", "{{method}}"),
        ),
      ],
    },
    {
      title: "The RDS",
      panels: [
        graph(
          "Commands",
          "ops",
          "By outcome. `unknown`: the reply was lost or late.",
          q(`sum by (outcome) (rate(rds_csi_rds_commands_total[${RATE}]))`, "{{outcome}}"),
        ),
        graph(
          "Refused commands",
          "ops",
          "`permission` and `parse` need an administrator.",
          q(`sum by (class) (rate(rds_csi_rds_command_failures_total[${RATE}]))`, "{{class}}"),
        ),
        graph(
          "Duration of commands, 95 of 100",
          "s",
          "From sending to reply.",
          q(p95("rds_csi_rds_command_duration_seconds", "purpose"), "{{purpose}}"),
        ),
        graph(
          "Wait in the queue, 95 of 100",
          "s",
          "Before sending.",
          q(p95("rds_csi_rds_queue_wait_seconds", "purpose"), "{{purpose}}"),
        ),
        graph(
          "Commands that wait",
          "short",
          "By connection.",
          q("sum by (purpose) (rds_csi_rds_queue_length)", "{{purpose}}"),
        ),
        graph(
          "Connections",
          "short",
          "Usable SSH connections, and commands that one may run at once.",
          q("sum by (purpose) (rds_csi_rds_connected)", "{{purpose}}"),
          q("min(rds_csi_rds_channels)", "channels"),
        ),
        graph(
          "Failed connections, per hour",
          "short",
          "`host-key`: the key is not the pinned one.",
          q("sum by (cause) (increase(rds_csi_rds_connect_failures_total[1h]))", "{{cause}}"),
          q("sum(increase(rds_csi_rds_reconnects_total[1h]))", "renewed"),
        ),
      ],
    },
    {
      title: "Processes",
      panels: [
        graph(
          "Memory",
          "bytes",
          "Resident; 45 MB of it are the executable.",
          q("process_resident_memory_bytes and on (instance) rds_csi_build_info", "{{instance}}"),
        ),
        graph(
          "CPU",
          "short",
          "Cores.",
          q(`rate(process_cpu_seconds_total[${RATE}]) and on (instance) rds_csi_build_info`, "{{instance}}"),
        ),
        bars(
          "Versions",
          "Processes by version.",
          q("count by (version, commit) (rds_csi_build_info)", "{{version}} {{commit}}"),
        ),
      ],
    },
  ],
};
