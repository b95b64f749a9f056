import { type Dashboard, graph, p95, q, RATE } from "./grafana.ts";

/** Selects the nodes of the variable. */
const ON = 'instance=~"$instance"';

/** The nodes. */
export const NODE: Dashboard = {
  uid: "rds-csi-node",
  title: "rds-csi / Node",
  description: "Volumes, connections and calls of the nodes",
  variables: { instance: "label_values(rds_csi_node_unstage_refusals_total, instance)" },
  rows: [
    {
      title: "Volumes",
      panels: [
        graph(
          "Volumes",
          "short",
          "Connected to the node.",
          q(`sum by (instance, condition) (rds_csi_node_volumes{${ON}})`, "{{instance}} {{condition}}"),
        ),
        graph(
          "Abnormal, by cause",
          "short",
          "docs/events.md has the causes.",
          q(`sum by (instance, cause) (rds_csi_node_volume_conditions{${ON}})`, "{{instance}} {{cause}}"),
        ),
        graph(
          "Refused unstages, per hour",
          "short",
          "Somebody has the device open.",
          q(
            `sum by (instance, cause) (increase(rds_csi_node_unstage_refusals_total{${ON}}[1h]))`,
            "{{instance}} {{cause}}",
          ),
        ),
      ],
    },
    {
      title: "Connections",
      panels: [
        graph(
          "NVMe connections",
          "short",
          "By the kernel's state.",
          q(`sum by (instance, state) (rds_csi_node_connections{${ON}})`, "{{instance}} {{state}}"),
        ),
        graph(
          "Recovered, per hour",
          "short",
          "Losses that the node has seen end.",
          q(
            `sum by (instance) (increase(rds_csi_node_connection_recoveries_total{${ON}}[1h]))`,
            "{{instance}}",
          ),
        ),
      ],
    },
    {
      title: "Calls and process",
      panels: [
        graph(
          "Calls",
          "ops",
          "By method.",
          q(`sum by (method) (rate(rds_csi_operations_total{${ON}}[${RATE}]))`, "{{method}}"),
        ),
        graph(
          "Duration, 95 of 100",
          "s",
          "From receipt to answer.",
          q(p95("rds_csi_operation_duration_seconds", "method", `{${ON}}`), "{{method}}"),
        ),
        graph("Memory", "bytes", "Resident.", q(`process_resident_memory_bytes{${ON}}`, "{{instance}}")),
        graph(
          "Open files",
          "short",
          "And their limit.",
          q(`process_open_fds{${ON}}`, "{{instance}}"),
          q(`process_max_fds{${ON}}`, "{{instance}} limit"),
        ),
      ],
    },
  ],
};
