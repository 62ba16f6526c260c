/**
 * `dashboard`: what the web dashboard costs where ten times `--count` messages are ready and `--count` are
 * dead (a million and a hundred thousand by default): how long the server takes for each page, and what a
 * worker loses while a page is open.
 *
 * @module
 */
import { connect, type RedisClient, ReliableQueue } from "@workshop/redis-patterns";
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

/** How long Redis is watched being watched, in milliseconds. */
const BUSY_MS = 5_000;

/** How many blocks of four drains a round has, and how many times `--count` a drain is: some frames long. */
const BLOCKS = 3;
const DRAINED = 6;

const ERRORS = [
  "timeout after",
  "no such address",
  "connection refused by",
  "mailbox is full:",
];

/** Runs the scenario. */
export async function dashboard({ url, load, note }: Bench): Promise<Report> {
  await using redis = await connect({ url });
  await using queue = new ReliableQueue<unknown>(redis, NAME, {
    maxDead: 1_000_000,
  });
  const server = await startServer(url);
  try {
    note(`${10 * load.count} ready and ${load.count} dead messages`);
    await fill(queue, load.count);
    const verdicts = [
      ...await pageTimes(server.url, queue, note),
      await busy(server.url, redis),
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

async function startServer(
  redis: string,
): Promise<{ url: string; child: Deno.ChildProcess }> {
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

async function fill(
  queue: ReliableQueue<unknown>,
  count: number,
): Promise<void> {
  const message = (n: number) => ({
    to: `user${n}@example.com`,
    type: "mail",
    text: "x".repeat(60),
  });
  for (let from = 0; from < count; from += 1_000) {
    const n = Math.min(1_000, count - from);
    await queue.enqueueMany(
      Array.from({ length: n }, (_, i) => message(from + i)),
    );
    const deliveries = await queue.receiveMany(n);
    await Promise.all(
      deliveries.map((one, i) => one.deadLetter(`${ERRORS[i % 4]} ${1_000 + from + i}`)),
    );
  }
  for (let from = 0; from < 10 * count; from += 10_000) {
    const n = Math.min(10_000, 10 * count - from);
    await queue.enqueueMany(
      Array.from({ length: n }, (_, i) => message(from + i)),
    );
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
    [
      "search that finds",
      `${at}/messages?state=dead&q=error:timeout+payload.to:user`,
    ],
    [
      "search that finds nothing",
      `${at}/messages?state=ready&q=payload.to:nobody`,
    ],
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
  return Number(
    /dur=([\d.]+)/.exec(response.headers.get("server-timing") ?? "")![1],
  );
}

/**
 * How much of its time Redis spends on open pages, by its own count: what a worker cannot have. It does not
 * go by the clock of a busy machine.
 */
async function busy(server: string, redis: RedisClient): Promise<string> {
  const spent = async () => {
    const info = String(await redis.sendCommand(["INFO", "commandstats"]));
    return [...info.matchAll(/usec=(\d+)/g)].reduce(
      (sum, [, usec]) => sum + Number(usec),
      0,
    );
  };
  const during = async (run: () => Promise<unknown>) => {
    const before = await spent();
    await run();
    return await spent() - before;
  };
  const pause = () => new Promise((resolve) => setTimeout(resolve, BUSY_MS));
  const unseen = await during(pause);
  const stop = new AbortController();
  const pages = ["/live/", `/live/queues/${NAME}`].map((path) => {
    return new Watcher(server + path, stop.signal);
  });
  await Promise.all(pages.map(({ open }) => open));
  const seen = await during(pause);
  stop.abort();
  await Promise.all(pages.map(({ over }) => over));
  const share = (seen - unseen) / 1_000 / BUSY_MS;
  return goal(
    `two open pages take ${(100 * share).toFixed(2)} % of Redis's time (≤ ${100 * COST} %)`,
    share > 0 && share <= COST,
  );
}

/**
 * What a worker drains a second, with pages open (A) and without (B). Drains come in blocks ABBA and BAAB in
 * turns, and each block gives one ratio: what changes slowly, in the machine or in Redis, weighs on both
 * sides of it. The middle block counts; the quarters beside it tell how sure that is.
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
  const work = { ...load, count: Math.max(DRAINED * load.count, 300_000) };
  const paths = ["/live/", `/live/queues/${WORKED}`];
  let frames = 0;
  /** How long one takes, in milliseconds. */
  const drain = async (watched: boolean) => {
    await peer.order({ verb: "empty" });
    await peer.order({ verb: "fill", work });
    const stop = new AbortController();
    const pages = (watched ? paths : []).map((path) => new Watcher(server + path, stop.signal));
    await Promise.all(pages.map(({ open }) => open)); // with its first frame
    const before = pages.reduce((sum, page) => sum + page.frames, 0);
    const ms = Number(await peer.order({ verb: "drain", way, work }));
    frames += pages.reduce((sum, page) => sum + page.frames, 0) - before;
    stop.abort();
    await Promise.all(pages.map(({ over }) => over));
    return ms;
  };
  await drain(true); // warms up
  frames = 0;
  const ratios: number[] = [];
  const alone: number[] = [];
  const watched: number[] = [];
  for (let block = 0; block < BLOCKS * load.rounds; block++) {
    const first = block % 2 === 0;
    const times = { true: 0, false: 0 };
    for (const one of [first, !first, !first, first]) {
      times[`${one}`] += await drain(one);
    }
    ratios.push(times.false / times.true);
    alone.push(times.false);
    watched.push(times.true);
    const rate = (ms: number) => Math.round(2 * work.count / ms * 1_000);
    note(
      `alone ${rate(times.false)}, watched ${rate(times.true)} messages a second`,
    );
  }
  if (frames === 0) {
    throw new Error("The pages were told nothing while the worker worked");
  }
  ratios.sort((a, b) => a - b);
  const lost = (share: number) => 100 * (1 - ratios[Math.round((ratios.length - 1) * share)]!);
  const perSecond = frames / watched.reduce((sum, ms) => sum + ms, 0) * 1_000;
  return goal(
    `two open pages, ${perSecond.toFixed(1)} frames a second, cost a worker ` +
      `${(100 * (1 - median(ratios))).toFixed(1)} % of ` +
      `${Math.round(2 * work.count / median(alone) * 1_000)} messages a second (≤ ${
        100 * COST
      } %); ` +
      `half of ${ratios.length} blocks: ${lost(0.75).toFixed(1)} to ${lost(0.25).toFixed(1)} %`,
    1 - median(ratios) <= COST,
  );
}

/** A client on an event stream, without a browser. */
class Watcher {
  /** How many frames came. */
  frames = 0;
  /** The first one is there. */
  readonly open: Promise<void>;
  /** The stream has ended. */
  readonly over: Promise<void>;
  #opened!: () => void;
  #failed!: (error: unknown) => void;

  constructor(url: string, signal: AbortSignal) {
    this.open = new Promise((resolve, reject) => {
      this.#opened = resolve;
      this.#failed = reject;
    });
    this.over = this.#read(url, signal);
  }

  async #read(url: string, signal: AbortSignal): Promise<void> {
    try {
      const response = await fetch(url, { signal });
      if (!response.ok) throw new Error(`${url}: ${response.status}`);
      for await (
        const chunk of response.body!.pipeThrough(new TextDecoderStream())
      ) {
        this.frames += chunk.split("\n\n").length - 1;
        if (this.frames > 0) this.#opened();
      }
    } catch (error) {
      if (!signal.aborted) this.#failed(error);
    }
  }
}
