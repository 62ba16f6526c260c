/**
 * @title   Connect, polling
 * @run     deno run --allow-net=127.0.0.1:6379 examples/01_connect/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/01_connect/producer.ts
 * @redis   RPOP
 *
 * A command is a line out and a line back. First by hand, over a bare socket; then by the client,
 * which asks for rings again and again and shares its one connection with a PING without harm.
 */
import { parseArgs } from "@std/cli/parse-args";
import { connect } from "@workshop/redis-patterns";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { url: "redis://127.0.0.1:6379", queue: "front_door", count: 3 };
const flags = parseArgs(Deno.args, { string: ["url", "queue"], default: defaults });
help("Connect, polling", flags, defaults);
let left = Number(flags.count);
Deno.addSignalListener("SIGINT", () => left = 0);

// One word, four bytes long: `*1 $4 PING`. The answer begins with + for a plain word.
const { hostname, port } = new URL(flags.url);
const socket = await Deno.connect({ hostname, port: Number(port || 6379) });
const [out, back] = ["*1\r\n$4\r\nPING\r\n", new Uint8Array(64)];
await socket.write(new TextEncoder().encode(out));
const size = await socket.read(back) ?? 0;
const answer = new TextDecoder().decode(back.subarray(0, size));
say("worker", `out ${JSON.stringify(out)}  back ${JSON.stringify(answer)}`);
socket.close();

// The client does the same with every command. RPOP is answered at once, also by "nothing there",
// so a PING behind it does not have to wait.
const redis = await connect({ url: flags.url });
const score = new Scoreboard();
const pings: number[] = [];
while (left > 0) {
  const sentAt = performance.now();
  const [madeAt] = await Promise.all([redis.rPop(flags.queue), redis.ping()]);
  pings.push(performance.now() - sentAt);
  if (madeAt) {
    left--;
    say("worker", `a ring, waited ${score.received({ madeAt: Number(madeAt) })} ms`);
  } else {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
const slowest = Math.max(0, ...pings).toFixed(1);
say("worker", `shared with RPOP: ${pings.length} PINGs, the slowest took ${slowest} ms`);
score.print();
await redis.close();

// Expect:
// [worker] out "*1\r\n$4\r\nPING\r\n"  back "+PONG\r\n"
// [worker] a ring, waited <ms> ms
// [worker] a ring, waited <ms> ms
// [worker] a ring, waited <ms> ms
// [worker] shared with RPOP: <n> PINGs, the slowest took <ms> ms
// [score]  messages 3  commands <n>  wait p50 <ms> ms
