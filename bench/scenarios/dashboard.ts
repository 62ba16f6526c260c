/**
 * `dashboard`: what the web dashboard costs where ten times `--count` messages are ready and `--count` are
 * dead (a million and a hundred thousand by default): how long the server takes for each page, and what a
 * worker loses while a page is open.
 *
 * @module
 */
import { connect, ReliableQueue } from "@workshop/redis-patterns";
import { goal } from "../cast.ts";
import { median } from "../measure.ts";
import { PeerProcess } from "../peer_process.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const NAME = "redis-patterns-bench-dashboard";
const WORKED = "redis-patterns-bench-dashboard-worked";
const PAGE_MS = 100;
const COST = 0.05;

/** How often each page is asked for. */
const TIMES = 15;

const ERRORS = ["timeout after", "no such address", "connection refused by", "mailbox is full:"];

/** Runs the scenario. */
export async function dashboard({ url, load, note }: Bench): Promise<Report> {
  await using redis = await connect({ url });
  await using queue = new ReliableQueue<unknown>(redis, NAME, { maxDead: 1_000_000 });
  const server = await startServer(url);
  try {
    note(`${10 * load.count} ready and ${load.count} dead messages`);
    await fill(queue, load.count);
    const verdicts = [
      ...await pageTimes(server.url, queue, note),
      await cost(server.url, { url, load, note }),
    ];
    return {
      load: `${10 * load.count} ready and ${load.count} dead messages`,
      tables: [],
      verdicts,
    };
  } finally {
    await queue.purge("ready");
    await queue.purge("dead");
    server.child.kill("SIGTERM");
    await server.child.status;
  }
}

async function startServer(redis: string): Promise<{ url: string; child: Deno.ChildProcess }> {
  const script = new URL("../../monitor/server.ts", import.meta.url).href;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", script, "--port", "0", "--url", redis],
    stdout: "piped",
    stdin: "null",
  }).spawn();
  let text = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    const [found] = /http:\S+/.exec(text += chunk) ?? [];
    if (found) return { url: found, child };
  }
  throw new Error(`The server did not start: ${text}`);
}

async function fill(queue: ReliableQueue<unknown>, count: number): Promise<void> {
  const message = (n: number) => ({
    to: `user${n}@example.com`,
    type: "mail",
    text: "x".repeat(60),
  });
  for (let from = 0; from < count; from += 1_000) {
    const n = Math.min(1_000, count - from);
    await queue.enqueueMany(Array.from({ length: n }, (_, i) => message(from + i)));
    const deliveries = await queue.receiveMany(n);
    await Promise.all(
      deliveries.map((one, i) => one.deadLetter(`${ERRORS[i % 4]} ${1_000 + from + i}`)),
    );
  }
  for (let from = 0; from < 10 * count; from += 10_000) {
    const n = Math.min(10_000, 10 * count - from);
    await queue.enqueueMany(Array.from({ length: n }, (_, i) => message(from + i)));
  }
}

/** The server's own time for each page, as it says itself. */
async function pageTimes(
  server: string,
  queue: ReliableQueue<unknown>,
  note: (text: string) => void,
): Promise<string[]> {
  const { messages: [letter] } = await queue.peek("dead", { limit: 1 });
  const { messages: [next] } = await queue.peek("ready", { limit: 1 });
  const at = `/queues/${NAME}`;
  const pages: [what: string, path: string][] = [
    ["overview", "/"],
    ["queue", at],
    ["ready, first page", `${at}/messages?state=ready`],
    ["ready, in the middle", `${at}/messages?state=ready&cursor=500000`],
    ["dead, first page", `${at}/messages?state=dead`],
    ["dead, in the middle", `${at}/messages?state=dead&cursor=50000`],
    ["search that finds", `${at}/messages?state=dead&q=error:timeout+payload.to:user`],
    ["search that finds nothing", `${at}/messages?state=ready&q=payload.to:nobody`],
    ["errors", `${at}/errors`],
    ["dead message", `${at}/messages/${letter!.id}?state=dead&payload=1`],
    ["ready message", `${at}/messages/${next!.id}?state=ready`],
    ["workers", "/workers"],
    ["counts as JSON", "/queues"],
  ];
  const verdicts: string[] = [];
  await ask(server, "/"); // it has read its files, and Redis knows the scripts
  for (const [what, path] of pages) {
    note(what);
    const times: number[] = [];
    for (let i = 0; i < TIMES; i++) {
      times.push(await ask(server, path));
      await new Promise((resolve) => setTimeout(resolve, i % 3 === 0 ? 400 : 20)); // kept, or not
    }
    times.sort((a, b) => a - b);
    const [median, most] = [times[Math.floor(TIMES / 2)]!, times.at(-1)!];
    verdicts.push(goal(
      `${what}: ${median.toFixed(1)} ms, ${most.toFixed(1)} at most (≤ ${PAGE_MS})`,
      most <= PAGE_MS,
    ));
  }
  return verdicts;
}

async function ask(server: string, path: string): Promise<number> {
  const isJson = path === "/queues";
  const response = await fetch(server + path, {
    headers: { accept: isJson ? "*/*" : "text/html" },
  });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return Number(/dur=([\d.]+)/.exec(response.headers.get("server-timing") ?? "")![1]);
}

/**
 * What a worker drains a second, with a page open and without, in turns. Two drains that follow each other
 * are compared, and of these pairs the middle one counts: what else the machine does changes slowly.
 */
async function cost(
  server: string,
  { url, load, note }: Pick<Bench, "url" | "load" | "note">,
): Promise<string> {
  await using peer = await PeerProcess.start(denoRuntime(), {
    module: "reliable_queue",
    url,
    name: WORKED,
  });
  const way = peer.introduction.drain.at(-1)!;
  const work = { ...load, count: 3 * load.count }; // long enough for several frames
  const drain = async (pages: string[]) => {
    await peer.order({ verb: "empty" });
    await peer.order({ verb: "fill", work });
    const stop = new AbortController();
    const watching = pages.map((path) => watch(server + path, stop.signal));
    const ms = Number(await peer.order({ verb: "drain", way, work }));
    stop.abort();
    await Promise.all(watching);
    return work.count / ms * 1_000;
  };
  const pages = ["/live/", `/live/queues/${WORKED}`];
  await drain(pages); // warms up
  const rates: number[] = [];
  const ratios: number[] = [];
  for (let round = 0; round < 3 * load.rounds; round++) {
    const first = await drain(round % 2 ? pages : []);
    const second = await drain(round % 2 ? [] : pages);
    const [alone, watched] = round % 2 ? [second, first] : [first, second];
    rates.push(alone);
    ratios.push(watched / alone);
    note(`alone ${Math.round(alone)}, watched ${Math.round(watched)} messages a second`);
  }
  const lost = 1 - median(ratios);
  return goal(
    `two open pages cost a worker ${(100 * lost).toFixed(1)} % of ` +
      `${Math.round(median(rates))} messages a second (≤ ${100 * COST} %)`,
    lost <= COST,
  );
}

/** A client on an event stream, without a browser. */
async function watch(url: string, signal: AbortSignal): Promise<void> {
  try {
    const response = await fetch(url, { signal });
    for await (const _ of response.body!);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
