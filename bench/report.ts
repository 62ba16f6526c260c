/**
 * Figures for people.
 *
 * @module
 */
import CliTable from "cli-table3";
import { median } from "./measure.ts";
import type { Report, Table } from "./scenario.ts";
import type { Times } from "./times.ts";

const HEAD = ["by", "messages/s", "min – max"];
const COSTS = ["commands", "sent", "bytes"];
const TIMES = ["by", "p50 ms", "p99 ms", "longest"];

/** The report as text. */
export function toText({ tables, times = [], verdicts }: Report): string {
  const ways = Map.groupBy(times, ({ way }) => way);
  const timed = [...ways].map(([way, times]) => timesText(way, times));
  return [...tables.map(tableText), ...timed, verdicts.join("\n")].join("\n\n");
}

function timesText(way: string, times: Times[]): string {
  const table = new CliTable({
    head: [way, ...TIMES.slice(1)],
    colAligns: ["left", "right", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  for (const { peer, runtime, p50, p99, max } of times) {
    const figures = [p50, p99, max].map((rounds) => median(rounds).toFixed(2));
    table.push([`${peer}, ${runtime}`, ...figures]);
  }
  return table.toString();
}

function tableText(
  { title, results, baseline, than = "BullMQ" }: Table,
): string {
  const head = [title, ...HEAD, `× ${than}`, ...COSTS];
  const table = new CliTable({
    head,
    colAligns: ["left", "left", ...head.slice(2).map(() => "right" as const)],
    style: { head: [], border: [], compact: true },
  });
  for (const { peer, runtime, way, rates, commands, sent, bytes } of results) {
    table.push([
      way,
      `${peer}, ${runtime}`,
      whole(median(rates)),
      `${whole(Math.min(...rates))} – ${whole(Math.max(...rates))}`,
      (median(rates) / baseline).toFixed(2),
      // A merged command is shared by many messages: below one, two digits are not enough.
      small(median(commands)),
      small(sent),
      bytes.length > 0 ? whole(median(bytes)) : "",
    ]);
  }
  return table.toString();
}

/** Nothing where it was not counted. */
function small(value: number): string {
  return Number.isNaN(value) ? "" : Number(value.toPrecision(2)).toString();
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}
