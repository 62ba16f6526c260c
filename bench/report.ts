/**
 * Figures for people.
 *
 * @module
 */
import CliTable from "cli-table3";
import { median } from "./measure.ts";
import type { Report, Table } from "./scenario.ts";

const HEAD = ["", "by", "messages/s", "min – max", "× BullMQ", "commands", "bytes"];

/** The report as text. */
export function toText({ tables, verdicts }: Report): string {
  return [...tables.map(tableText), verdicts.join("\n")].join("\n\n");
}

function tableText({ title, results, baseline }: Table): string {
  const table = new CliTable({
    head: [title, ...HEAD.slice(1)],
    colAligns: ["left", "left", "right", "right", "right", "right", "right"],
    style: { head: [], border: [], compact: true },
  });
  for (const { peer, runtime, way, rates, commands, bytes } of results) {
    table.push([
      way,
      `${peer}, ${runtime}`,
      whole(median(rates)),
      `${whole(Math.min(...rates))} – ${whole(Math.max(...rates))}`,
      (median(rates) / baseline).toFixed(2),
      // A merged command is shared by many messages: below one, two digits are not enough.
      Number(median(commands).toPrecision(2)).toString(),
      bytes.length > 0 ? whole(median(bytes)) : "",
    ]);
  }
  return table.toString();
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}
