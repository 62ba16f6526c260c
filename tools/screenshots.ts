/**
 * `deno task screenshots`: the pictures in `docs/screenshots`, of a small photo shop's queues and of a
 * step of the course, in a real Chromium. It starts what it shows, a Redis for each, and ends when all
 * are taken. `deno task screenshots watch` takes those alone whose names begin so.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints
import { type Browser, type BrowserContextOptions, chromium } from "playwright-core";
import {
  connect,
  type ConnectedClient,
  PriorityQueue,
  queueKeys,
  ReliableQueue,
  StreamQueue,
  Worker,
} from "@workshop/redis-patterns";
import {
  type TaskContext,
  TaskProducer,
  TaskScheduler,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { Dashboard } from "@workshop/redis-patterns/dashboard";
import { findChromium } from "./chromium.ts";
import { Cast } from "./ex_cast.ts";
import { readExample } from "./example.ts";
import { RedisServer } from "./redis_server.ts";
import { declaredIn } from "./watch/declared.ts";
import { openWatch } from "./watch/server.ts";

const INTO = new URL("../docs/screenshots/", import.meta.url);

const DESKTOP = { viewport: { width: 1280, height: 800 } };
const STAGE = { viewport: { width: 1280, height: 720 } };
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 };

/** What is taken: a name, a page, and how it is looked at. */
const SHOTS: [name: string, path: string, how: BrowserContextOptions][] = [
  ["overview", "/", DESKTOP],
  ["overview_dark", "/", { ...DESKTOP, colorScheme: "dark" }],
  ["overview_phone", "/", PHONE],
  ["queue", "/queues/thumbnails", DESKTOP],
  ["queue_dark", "/queues/thumbnails", { ...DESKTOP, colorScheme: "dark" }],
  ["errors", "/queues/emails/errors", DESKTOP],
  ["dead", "/queues/emails/messages?state=dead&q=error%3Atimeout", DESKTOP],
  ["dead_phone", "/queues/emails/messages?state=dead", PHONE],
  ["message_dark", "message", { ...DESKTOP, colorScheme: "dark" }],
  ["confirm", "plan", DESKTOP],
  ["workers", "/workers", DESKTOP],
  ["streams", "/streams", DESKTOP],
  ["tasks", "/queues/tasks", DESKTOP],
  ["task", "/queues/tasks/messages/invoice-1042?result=1", DESKTOP],
  ["running_dark", "/queues/tasks/messages?state=leased", { ...DESKTOP, colorScheme: "dark" }],
  ["schedules", "/schedules", DESKTOP],
  ["schedules_phone", "/schedules", PHONE],
];

const ERRORS = [
  "timeout after 5000 ms",
  "timeout after 5012 ms",
  "timeout after 5004 ms",
  'no such address "dora@example.com"',
  "550 mailbox 7712 is full",
];

/** The watch page beside a step: a name, and the colours of the system. */
const WATCHED: [name: string, how: BrowserContextOptions][] = [
  ["watch", STAGE],
  ["watch_dark", { ...STAGE, colorScheme: "dark" }],
];

const [only = ""] = Deno.args;
const isWanted = ([name]: [string, ...unknown[]]) => name.startsWith(only);
const { command, args, env } = await findChromium();
const browser = await chromium.launch({
  executablePath: command,
  args,
  env: { ...Deno.env.toObject(), ...env },
});
await Deno.mkdir(INTO, { recursive: true });
const shots = SHOTS.filter(isWanted);
if (shots.length > 0) await takeDashboard(browser, shots);
for (const [name, how] of WATCHED.filter(isWanted)) {
  let tries = 5;
  while (!await takeWatch(browser, name, how)) {
    if (--tries === 0) throw new Error(`${name}: the step was over before it could be held`);
  }
}
await browser.close();

async function takeDashboard(browser: Browser, shots: typeof SHOTS): Promise<void> {
  await using server = await RedisServer.start();
  const redis = await connect({ url: server.url });
  const workers = await shop(redis);
  await using dashboard = new Dashboard({ redis });
  const web = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, dashboard.fetch);
  const base = `http://127.0.0.1:${web.addr.port}`;
  for (const [name, path, how] of shots) await take(browser, { name, url: base, path, how });
  await Promise.all(workers.map((worker) => worker.stop({ graceMs: 0 })));
  await dashboard.close();
  await web.shutdown();
  await redis.close();
}

/**
 * Step 06 as it is played, when both consumers have something in hand and the ladder fills. Gives false where
 * the machine was too slow to hold it then.
 */
async function takeWatch(
  browser: Browser,
  name: string,
  how: BrowserContextOptions,
): Promise<boolean> {
  await using server = await RedisServer.start();
  const example = await readExample("examples/06_priority_queue/blocking.ts");
  const quiet = { colours: false, onLine: () => {}, onEnd: () => {} };
  const cast = await Cast.open(example, { url: server.url, port: server.port, ...quiet });
  const watch = openWatch({
    url: server.url,
    port: 0,
    title: example.title,
    declared: declaredIn(example.code),
    nameOf: (who) => cast.nameOf(who),
  });
  const context = await browser.newContext(how);
  const page = await context.newPage();
  await page.goto(watch.url);
  await page.waitForTimeout(1_000); // it listens
  await cast.begin([]);
  await page.locator(".rung [data-card]").nth(3).waitFor();
  await page.locator("[data-worker] [data-card]").nth(1).waitFor();
  for (const actor of cast.alive) cast.freeze(actor, true);
  await page.waitForTimeout(1_500); // what flies has landed
  const waiting = await page.locator(".rung [data-card]").count();
  const inHand = await page.locator("[data-worker] [data-card]").count();
  const isHeld = waiting >= 3 && inHand === 2;
  if (isHeld) {
    await page.screenshot({ path: new URL(`${name}.png`, INTO).pathname });
    console.log(`docs/screenshots/${name}.png`);
  }
  await context.close();
  await cast.end();
  await watch.close();
  return isHeld;
}

/** Queues as a shop has them in the afternoon. */
async function shop(redis: ConnectedClient): Promise<Stopping[]> {
  const emails = new PriorityQueue<unknown>(redis, "emails", {
    maxAttempts: 2,
    backoff: { baseMs: 0 },
  });
  await emails.enqueueMany(
    Array.from({ length: 96 }, (_, n) => ({ type: "mail", to: `guest${n}@example.com` })),
  );
  for (let attempt = 1; attempt <= 2; attempt++) {
    for (const [n, delivery] of (await emails.receiveMany(96)).entries()) {
      await delivery.nack({ error: new Error(ERRORS[n % ERRORS.length]) });
    }
  }
  await emails.enqueueMany(
    Array.from({ length: 214 }, (_, n) => ({ type: "mail", to: `guest${n}@example.com` })),
  );
  await emails.enqueueMany([1, 2, 3, 4, 5, 6].map((n) => ({ type: "mail", n })), {
    delayMs: 3_600_000,
  });

  const thumbnails = new ReliableQueue<{ photo: number }>(redis, "thumbnails");
  await thumbnails.enqueueMany(Array.from({ length: 6_000 }, (_, photo) => ({ photo })));
  const invoices = new StreamQueue<{ order: number }>(redis, "invoices");
  await invoices.enqueueMany(Array.from({ length: 1_000 }, (_, order) => ({ order })));
  const prints = new ReliableQueue<unknown>(redis, "prints");
  await prints.enqueueMany([1, 2, 3, 4]);
  await prints.pause();
  await new ReliableQueue<unknown>(redis, "backups").enqueue({ at: "night" }, {
    delayMs: 28_800_000,
  });

  const work = () => new Promise<void>((resolve) => setTimeout(resolve, 10 + 40 * Math.random()));
  const workers = [
    new Worker(thumbnails, work, { concurrency: 4 }),
    new Worker(thumbnails, work, { concurrency: 4, mode: "polling" }),
    new Worker(invoices, work, { concurrency: 2 }),
    new Worker(emails, () => new Promise<void>((resolve) => setTimeout(resolve, 900)), {
      concurrency: 3,
    }),
  ];
  for (const worker of workers) worker.start();
  const others = await taskWork(redis);
  await new Promise((resolve) => setTimeout(resolve, 4_000));
  for (const name of ["emails", "thumbnails", "invoices", "tasks"]) await anHour(redis, name);
  return [...workers, ...others];
}

/** What has to be stopped at the end. */
interface Stopping {
  stop(options: { graceMs: number }): Promise<void>;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** What the shop does with a name: some done, some given up, an album that takes its time; and by the clock. */
async function taskWork(redis: ConnectedClient): Promise<Stopping[]> {
  const handlers = {
    write_invoice: async ({ order }: { order: number }) => {
      await pause(20);
      return { invoice: `2026-${order}`, total: 12.4, pages: ["cover", "items"] };
    },
    charge_card: async ({ order }: { order: number }) => {
      await pause(15);
      if (order % 3 === 0) throw new Error(`card declined for order ${order}`);
    },
    print_album: async ({ pages }: { pages: number }, { progress, signal }: TaskContext) => {
      for (let done = 1; done <= pages && !signal.aborted; done++) {
        await progress({ done, of: pages });
        await pause(1_500);
      }
    },
    clean_up: () => {},
  };
  const producer = new TaskProducer<typeof handlers>(redis);
  const scheduler = new TaskScheduler<typeof handlers>(redis);
  const timeZone = "Europe/Vienna";
  await scheduler.cron("nightly invoices", "0 3 * * *", "write_invoice", { order: 1 }, {
    timeZone,
  });
  await scheduler.cron("monday albums", "30 8 * * MON", "print_album", { pages: 24 }, { timeZone });
  await scheduler.every("sweep", 2_000, "clean_up", null);
  for (let order = 1_036; order <= 1_042; order++) {
    await producer.add("charge_card", { order });
    await producer.add("write_invoice", { order }, { id: `invoice-${order}` });
  }
  for (const [i, pages] of [24, 36, 80].entries()) {
    await producer.add("print_album", { pages }, { id: `album-${i + 1}` });
  }
  await producer.add("print_album", { pages: 12 }, { id: "album-4", delayMs: 5_400_000 });
  const worker = new TaskWorker(redis, {
    handlers,
    concurrency: 3,
    maxAttempts: 2,
    backoff: { baseMs: 0 },
  });
  scheduler.start();
  worker.start();
  return [worker, { stop: () => scheduler.stop() }];
}

/** An hour of the past, in the statistics of a queue that is a few seconds old. */
async function anHour(redis: ConnectedClient, name: string): Promise<void> {
  const minute = Math.floor(Date.now() / 60_000);
  const fields: Record<string, string> = { first: String(minute - 59) };
  const size = { emails: 60, invoices: 240, thumbnails: 2_600, tasks: 90 }[name]!;
  for (let ago = 1; ago < 60; ago++) {
    const wave = 1 + 0.35 * Math.sin(ago / 7) + 0.2 * Math.sin(ago / 2.3) + 0.1 * Math.cos(ago * 5);
    const done = Math.round(size * wave);
    fields[`${minute - ago} enqueued`] = String(Math.round(done * (1 + 0.12 * Math.cos(ago / 4))));
    fields[`${minute - ago} acked`] = String(done);
    if (ago % 9 < 3) fields[`${minute - ago} failed`] = String(Math.round(done * 0.06));
    for (const bucket of ["w22", "w26", "w31", "r18", "r20", "r22"]) {
      fields[`${minute - ago} ${bucket}`] = String(Math.round(done / 3));
    }
  }
  await redis.hSet(queueKeys(name).stats, fields);
}

async function take(
  browser: Browser,
  { name, url, path, how }: {
    name: string;
    url: string;
    path: string;
    how: BrowserContextOptions;
  },
): Promise<void> {
  const context = await browser.newContext(how);
  const page = await context.newPage();
  await page.goto(url + (path.startsWith("/") ? path : "/queues/emails/messages?state=dead"));
  if (path === "message") {
    await page.locator("tbody a").first().click();
    await page.getByRole("link", { name: "Show the payload" }).click();
    await page.locator("summary", { hasText: "What it does" }).first().click();
    await page.evaluate("scrollTo(0, 0)");
  }
  if (path === "plan") {
    await page.getByRole("button", { name: /^Redrive all/ }).click();
    await page.locator(".figure").waitFor();
  }
  await page.evaluate("document.activeElement?.blur()");
  await page.waitForTimeout(1_200); // typefaces, charts, and a frame of the live part
  await page.screenshot({ path: new URL(`${name}.png`, INTO).pathname });
  await context.close();
  console.log(`docs/screenshots/${name}.png`);
}
