/** A graph with its lines. */
export interface Drawn {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly {
    readonly name: string;
    readonly points: readonly (readonly [seconds: number, value: number])[];
  }[];
}

const [COLUMNS, WIDTH, HEIGHT, GAP] = [3, 320, 204, 12];
/** Of a graph: the area of its lines. */
const PLOT = { left: 52, top: 26, width: 256, height: 104 };
const COLOURS = ["#2f7ed8", "#d9822b", "#3aa655", "#c0392b", "#8e44ad", "#16a085", "#7f8c8d", "#b8860b"];
/** Names below a graph; further lines have none. */
const NAMES = 6;

/** A picture (SVG) of graphs over time, three in a row. */
export function drawing(title: string, graphs: readonly Drawn[]): string {
  const span = spanOf(graphs);
  const rows = Math.ceil(graphs.length / COLUMNS);
  const [width, height] = [COLUMNS * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + GAP + 30];
  const body = graphs.map((graph, at) => {
    const [x, y] = [
      GAP + (at % COLUMNS) * (WIDTH + GAP),
      30 + GAP + Math.floor(at / COLUMNS) * (HEIGHT + GAP),
    ];
    return `<g transform="translate(${x} ${y})">${graphText(graph, span)}</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="10">`,
    `<title>${title}</title>`,
    `<rect width="${width}" height="${height}" fill="#f4f5f7"/>`,
    text(GAP, 26, title, 'font-size="16" font-weight="bold"'),
    ...body,
    "</svg>\n",
  ].join("\n");
}

/** Times of all graphs, so that they can be compared. */
function spanOf(graphs: readonly Drawn[]): readonly [first: number, last: number] {
  const times = graphs.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(([at]) => at)));
  return [Math.min(...times), Math.max(...times)];
}

function graphText({ title, unit, lines: all }: Drawn, [first, last]: readonly [number, number]): string {
  const top = ({ points }: Drawn["lines"][number]) => Math.max(0, ...points.map(([, value]) => value || 0));
  const lines = all.toSorted((a, b) => top(b) - top(a));
  const values = lines.flatMap(({ points }) => points.filter(([, value]) => Number.isFinite(value)));
  const most = Math.max(...values.map(([, value]) => value), 0) || 1;
  const x = (at: number): number => PLOT.left + ((at - first) / (last - first || 1)) * PLOT.width;
  const y = (value: number): number => PLOT.top + PLOT.height - (value / most) * PLOT.height;
  const scale = [0, 0.5, 1].map((share) => {
    const line = `<line x1="${PLOT.left}" x2="${PLOT.left + PLOT.width}" y1="${y(most * share)}" y2="${y(most * share)}" stroke="#e1e4e8"/>`;
    return `${line}${text(PLOT.left - 4, y(most * share) + 3, shown(most * share, unit), 'text-anchor="end" fill="#666"')}`;
  });
  const drawn = lines.map(({ points }, at) => {
    const path = points
      .filter(([, value]) => Number.isFinite(value))
      .map(([when, value]) => `${x(when).toFixed(1)},${y(value).toFixed(1)}`);
    // A line of one point would not be seen.
    const ends = path.length === 1 ? ' stroke-linecap="round"' : "";
    const places = path.length === 1 ? [...path, ...path] : path;
    return `<polyline points="${places.join(" ")}" fill="none" stroke="${COLOURS[at % COLOURS.length]}" stroke-width="${path.length === 1 ? 4 : 1.5}"${ends}/>`;
  });
  const names = lines.slice(0, NAMES).map(({ name }, at) => {
    const [left, below] = [
      PLOT.left - 20 + (at % 2) * 144,
      PLOT.top + PLOT.height + 16 + Math.floor(at / 2) * 14,
    ];
    const mark = `<rect x="${left - 10}" y="${below - 7}" width="7" height="7" fill="${COLOURS[at % COLOURS.length]}"/>`;
    return `${mark}${text(left, below, name.length > 23 ? `${name.slice(0, 22)}…` : name)}`;
  });
  const more =
    lines.length > NAMES
      ? [
          text(
            PLOT.left + PLOT.width,
            PLOT.top + PLOT.height + 58,
            `and ${lines.length - NAMES} more`,
            'text-anchor="end" fill="#666"',
          ),
        ]
      : [];
  return [
    `<rect width="${WIDTH}" height="${HEIGHT}" rx="3" fill="#fff" stroke="#d0d4da"/>`,
    text(10, 16, title, 'font-size="11" font-weight="bold"'),
    ...scale,
    ...drawn,
    ...names,
    ...more,
  ].join("\n");
}

function shown(value: number, unit: string): string {
  if (unit === "bytes") {
    const power = value < 1 ? 0 : Math.min(4, Math.floor(Math.log2(value) / 10));
    return `${Number((value / 1024 ** power).toPrecision(3))} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
  }
  if (unit === "percentunit") return `${Math.round(value * 100)} %`;
  const number = Number(value.toPrecision(2));
  return unit === "s" ? `${number} s` : unit === "ops" ? `${number}/s` : String(number);
}

function text(x: number, y: number, content: string, attributes = ""): string {
  const safe = content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
  return `<text x="${x}" y="${y}" ${attributes}>${safe}</text>`;
}
