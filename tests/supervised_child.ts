/**
 * A child for `supervise_test.ts`. What it does is its first argument; what happens to it, it writes as a
 * line to the file in its second: `up 4242`, `asked 4242 SIGTERM`, `left 4242`.
 */
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { stopSignal } from "@workshop/redis-patterns/tasks";

const [what, file, ms = "0"] = Deno.args;

function say(text: string): void {
  Deno.writeTextFileSync(file!, `${text} ${process.pid}\n`, { append: true });
}

say("up");
if (what === "finish") Deno.exit(0);
if (what === "crash") Deno.exit(7);
if (what === "crash late") {
  await pause(Number(ms));
  Deno.exit(7);
}
if (what === "deaf") {
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, () => say("asked"));
  await pause(60_000);
}
if (what === "heed") {
  const signal = stopSignal();
  await pause(60_000, undefined, { signal }).catch(() => say(`asked: ${signal.reason.message}`));
  await pause(Number(ms));
  say("left"); // and ends by itself, or the signal would keep it
}
if (what === "nest") { // a worker that runs another program, which wants to be told when to end
  stopSignal();
  const args = ["run", "-A", "--no-lock", "--no-check", import.meta.url, "alone", file!, ms];
  await new Deno.Command(Deno.execPath(), { args }).output();
  Deno.exit(0);
}
if (what === "alone") {
  const signal = stopSignal();
  await pause(Number(ms), undefined, { signal }).catch(() =>
    say(`asked: ${signal.reason.message}`)
  );
  say("left");
}
if (what === "plain") await pause(60_000); // knows nothing of signals
if (what === "env") say(`${Deno.env.get("PHOTOS")} ${Deno.args.length}`);
