/**
 * @title   Monitoring, polling
 * @run     deno run --allow-net=127.0.0.1:6379,127.0.0.1:8018 examples/18_monitoring/polling.ts
 * @with    deno run --allow-net=127.0.0.1:6379 examples/18_monitoring/producer.ts
 * @redis   EVALSHA
 *
 * A print hangs. No error, no dead letter, and the heartbeat keeps its lease for ever. One number
 * rises whatever is wrong: the age of the oldest message. The worker asks every 100 ms, and
 * so does the watchman, who has no other way.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "@std/cli/parse-args";
import { connect, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { Dashboard } from "@workshop/redis-patterns/dashboard";
import { help, say, Scoreboard } from "../scoreboard.ts";

const defaults = { queue: "prints", count: 8, stuck: "print_3", limit: 2_500 };
const flags = parseArgs(Deno.args, { string: ["url", "queue", "stuck"], default: defaults });
help("Monitoring, polling", flags, defaults);
const stop = new AbortController();
Deno.addSignalListener("SIGINT", () => stop.abort());

const redis = await connect({ url: flags.url });
type Print = { task: string; madeAt: number };
const queue = new ReliableQueue<Print>(redis, flags.queue, { leaseMs: 900 });
const page = new Dashboard({ redis, readOnly: true });
const web = Deno.serve({ hostname: "127.0.0.1", port: 8018, onListen() {} }, page.fetch);
const score = new Scoreboard();
let done = 0;

const worker = new Worker(queue, async (payload, { delivery, signal }) => {
  score.received(payload);
  const hangs = payload.task === flags.stuck && delivery.attempt === 1;
  if (hangs) say("worker", `${payload.task} … waits for the printer`);
  await pause(hangs ? 3_600_000 : 100, undefined, { signal });
}, {
  mode: "polling",
  pollMs: 100,
  concurrency: 2,
  onEvent: (event) => {
    if (event.type !== "done") return;
    say("worker", `${event.delivery.id} … done`);
    if (++done === Number(flags.count)) stop.abort();
  },
});

/** The oldest of what waits and of what is in hand: a stuck handler's message is not ready. */
async function watch(): Promise<void> {
  const [{ oldestReadyMs = 0 }, { messages: held }] = await Promise.all([
    queue.counts(),
    queue.peek("leased", { limit: 100, payloads: false }),
  ]);
  const [oldest] = held.sort((a, b) => a.readyAt - b.readyAt);
  const age = Math.max(oldestReadyMs, oldest ? Date.now() - oldest.readyAt : 0);
  if (age <= Number(flags.limit) || !oldest?.token) return;
  say("monitor", `alert: the oldest message is ${age} ms old`);
  say("monitor", `${oldest.id} is in the hands of ${oldest.consumer}, which is alive`);
  await queue.delivery(oldest.token).nack({ delayMs: 0, error: "stuck" });
}

say("worker", `worker on ${queue.name}, asking every 100 ms; page on http://127.0.0.1:8018`);
const running = worker.run({ signal: stop.signal });
while (!stop.signal.aborted) {
  await watch();
  await pause(100, undefined, { signal: stop.signal }).catch(() => {});
}
await worker.stop({ graceMs: 0 });
await running;
score.print();
await page.close();
await web.shutdown();
await redis.close();

// Expect:
// [worker] worker on prints, asking every 100 ms; page on http://127.0.0.1:8018
// ~ [worker] print_3 … waits for the printer
// ~ [worker] print_1 … done
// ~ [worker] print_2 … done
// ~ [worker] print_4 … done
// ~ [worker] print_5 … done
// ~ [worker] print_6 … done
// ~ [worker] print_7 … done
// ~ [worker] print_8 … done
// [monitor] alert: the oldest message is <n> ms old
// [monitor] print_3 is in the hands of <any>, which is alive
// [worker] print_3 … done
// [score]  messages 9  commands <n>  wait p50 <ms> ms
