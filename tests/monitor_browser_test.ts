/** The dashboard in a real Chromium: what is live, what is pressed, what is forbidden, and who can read it. */
import { assert, assertEquals, assertLess } from "@std/assert";
import axe from "axe-core";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import {
  connect,
  type ConnectedClient,
  ReliableQueue,
  StreamQueue,
  Worker,
} from "@workshop/redis-patterns";
import type { DashboardOptions } from "@workshop/redis-patterns/dashboard";
import { TaskProducer, TaskScheduler, TaskWorker } from "@workshop/redis-patterns/tasks";
import { findChromium } from "../tools/chromium.ts";
import { serve } from "./monitor_web_support.ts";
import { eventually, serverTest } from "./support.ts";

const EVIL = "<img src=x onerror=alert(1)>";
const DESKTOP = { width: 1280, height: 860 };
const PHONE = { width: 390, height: 844 };

let browser: Promise<Browser> | undefined;

async function launch(): Promise<Browser> {
  const { command, args, env } = await findChromium();
  return await chromium.launch({
    executablePath: command,
    args,
    env: { ...Deno.env.toObject(), ...env },
  });
}

Deno.test.beforeAll(async () => {
  await (browser ??= launch());
});
Deno.test.afterAll(async () => {
  await (await browser)?.close();
});

/** What a test of a page gets. */
interface Fixture {
  redis: ConnectedClient;
  url: string;
  /** A page of a browser that has seen nothing yet. It fails the test if anything is wrong in it. */
  open(path: string, options?: BrowserContextOptions): Promise<Page>;
}

/** Defines a test with a Redis, a server, and pages. */
function pageTest(
  title: string,
  run: (
    fixture: Fixture & { server: Parameters<Parameters<typeof serverTest>[1]>[0] },
  ) => Promise<void>,
  options: DashboardOptions = {},
): void {
  serverTest(title, async (server) => {
    const redis = await connect({ url: server.url });
    await using served = serve({ redis: server.url, ...options });
    const wrong: string[] = [];
    const contexts: { close(): Promise<void> }[] = [];
    try {
      await run({
        redis,
        server,
        url: served.url,
        open: async (path, options) => {
          const context = await (await browser!).newContext({ viewport: DESKTOP, ...options });
          contexts.push(context);
          const page = await context.newPage();
          page.setDefaultTimeout(10_000); // sooner than the test's own limit, and it says where
          page.on("pageerror", (error) => wrong.push(`${path}: ${error.message}`));
          page.on("dialog", (dialog) => {
            wrong.push(`${path}: a dialog, ${dialog.message()}`);
            void dialog.dismiss();
          });
          page.on("console", (message) => {
            if (/Content Security Policy/.test(message.text())) {
              wrong.push(`${path}: ${message.text()}`);
            }
          });
          await page.goto(served.url + path);
          return page;
        },
      });
    } finally {
      for (const context of contexts) await context.close();
      redis.destroy();
    }
    assertEquals(wrong, []);
  }, { aof: true });
}

/** Queues of all kinds with messages in all states, and the paths of all pages that show them. */
async function something(redis: ConnectedClient): Promise<string[]> {
  await using mails = new ReliableQueue<unknown>(redis, "mails", { keepCompleted: { count: 10 } });
  await bury(mails, 60);
  await mails.enqueueMany([1, 2, 3, 5]);
  await using worker = new Worker(mails, () => {});
  worker.start();
  await eventually(async () => assertEquals((await mails.counts()).ready, 0));
  await worker.stop();
  await mails.enqueue(4, { delayMs: 60_000 });
  await mails.enqueue(6);
  await mails.receive();
  await using tasks = new StreamQueue<unknown>(redis, "tasks");
  await tasks.enqueueMany([1, 2, 3]);
  await tasks.receive();
  await using paused = new ReliableQueue<unknown>(redis, "paused");
  await paused.enqueue(1);
  await paused.pause();
  const { messages: [letter] } = await mails.peek("dead");
  await someTasks(redis);
  return [
    "/queues/shop",
    "/queues/shop/messages?state=leased",
    "/queues/shop/messages?state=dead",
    "/queues/shop/messages/done?result=1",
    "/queues/shop/messages/runs",
    "/queues/shop/messages/died",
    "/",
    "/queues/mails",
    "/queues/paused",
    "/queues/mails/errors",
    "/queues/mails/messages?state=dead",
    "/queues/mails/messages?state=dead&q=colour:red",
    "/queues/mails/messages?state=completed",
    "/queues/mails/messages?state=leased",
    `/queues/mails/messages/${letter!.id}?state=dead&payload=1`,
    "/workers",
    "/streams",
    "/schedules",
    "/operations",
    "/nowhere",
    "/login",
  ];
}

/** A task that is done, one that runs and says how far it is, one that died; and schedules. */
async function someTasks(redis: ConnectedClient): Promise<void> {
  const name = "shop";
  const handlers = {
    double: ({ data }: { data: number }) => ({ doubled: 2 * data }),
    fail: (): void => {
      throw new Error("no such address");
    },
  };
  const scheduler = new TaskScheduler<typeof handlers>(redis, { name });
  await scheduler.cron("nightly", "0 3 * * *", "double", { data: 1 }, {
    timeZone: "Europe/Vienna",
  });
  await scheduler.every("pulse", 3_600_000, "fail", null);
  await using producer = new TaskProducer<typeof handlers>(redis, { name });
  await producer.add("double", { data: 42 }, { id: "done" });
  await producer.add("fail", null, { id: "died" });
  await using worker = new TaskWorker(redis, { name, handlers, maxAttempts: 1 });
  worker.start();
  await eventually(async () => {
    const records = await producer.queue.tasks(["done", "died"]);
    assertEquals(records.map((record) => record?.state), ["done", "dead"]);
  });
  await worker.stop();
  await producer.add("double", { data: 1 }, { id: "runs" });
  await producer.queue.receive();
}

/** Dead letters, as many as `count`, of two errors. */
async function bury(queue: ReliableQueue<unknown>, count: number): Promise<void> {
  for (let from = 0; from < count; from += 1_000) {
    const n = Math.min(1_000, count - from);
    await queue.enqueueMany(
      Array.from({ length: n }, (_, i) => ({ to: `user${from + i}@example.com`, type: "mail" })),
    );
    const deliveries = await queue.receiveMany(n);
    await Promise.all(
      deliveries.map((one, i) =>
        one.deadLetter(i % 10 === 0 ? "no such address" : `timeout after ${5_000 + i} ms`)
      ),
    );
  }
}

pageTest(
  "a change is on the page within a second, without anybody doing anything",
  async ({ redis, open }) => {
    await using queue = new ReliableQueue<number>(redis, "mails");
    await queue.enqueue(1);
    const page = await open("/");
    const shown = page.locator('[data-queue="mails"] .figure');
    assertEquals(await shown.textContent(), "1");
    await page.locator('#live-state[data-state="on"]').waitFor();
    await page.keyboard.press("j");
    assertEquals(
      await page.evaluate("document.activeElement.getAttribute('href')"),
      "/queues/mails",
    );
    for (const n of [3, 5]) {
      const changedAt = performance.now();
      await queue.enqueueMany([2, 3]);
      await page.locator('[data-queue="mails"] .figure', { hasText: String(n) }).waitFor({
        timeout: 3_000,
      });
      assertLess(performance.now() - changedAt, 1_000);
    }
  },
);

pageTest(
  "a page that is hidden asks for nothing, and goes on when it is seen again",
  async ({ redis, open, url }) => {
    await using queue = new ReliableQueue<number>(redis, "mails");
    await queue.enqueue(1);
    const page = await open("/");
    await page.locator('#live-state[data-state="on"]').waitFor();
    const streams = async () =>
      /event_streams (\d+)/.exec(await (await fetch(`${url}/metrics`)).text())![1];
    const hide = (hidden: boolean) =>
      page.evaluate((hidden) => {
        // deno-lint-ignore no-explicit-any -- the browser's document
        const document = (globalThis as any).document;
        Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
        document.dispatchEvent(new Event("visibilitychange"));
      }, hidden);
    await eventually(async () => assertEquals(await streams(), "1"), 6_000);
    await hide(true);
    await eventually(async () => assertEquals(await streams(), "0"), 6_000);
    await queue.enqueue(2);
    await hide(false);
    await page.locator(".figure", { hasText: "2" }).waitFor();
  },
);

pageTest(
  "a search finds, stands in the URL, and all 10,000 that fit are counted, confirmed and redriven",
  async ({ redis, open }) => {
    await using queue = new ReliableQueue<unknown>(redis, "mails");
    await bury(queue, 10_000);
    const page = await open("/queues/mails/messages?state=dead");
    await page.keyboard.press("/");
    await page.keyboard.type("error:timeout");
    await page.keyboard.press("Enter");
    await page.waitForURL("**/messages?state=dead&q=error%3Atimeout");
    await page.locator("tbody tr").first().waitFor();
    assert(await page.locator("tbody tr").count() >= 50);
    assertEquals(await page.locator("tbody", { hasText: "no such address" }).count(), 0);

    await page.getByRole("button", { name: "Redrive all that fit" }).click();
    await page.locator(".figure", { hasText: "9,000 messages" }).waitFor();
    assertEquals(
      (await queue.counts()).dead,
      10_000,
      "nothing is changed before somebody says yes",
    );
    await page.getByRole("button", { name: "Redrive 9,000 messages" }).click();
    await page.locator("progress").waitFor();
    await page.locator('[data-phase="done"]').waitFor({ timeout: 15_000 });
    const { ready, dead } = await queue.counts();
    assertEquals([ready, dead], [9_000, 1_000]);

    // At ten a second it goes on for long: it can be watched, and stopped.
    // Another page: the button of the first may lead on after its live part has said that it is done.
    const other = await open("/queues/mails/errors");
    await other.getByRole("button", { name: /^Redrive 1000/ }).click();
    await other.getByLabel("How many").fill("7");
    await other.getByLabel("How fast").selectOption({ label: "1 a second" });
    await other.waitForTimeout(1_200); // a frame of the live part comes, and changes nothing of it
    assertEquals(await other.getByLabel("How many").inputValue(), "7");
    assertEquals(await other.getByLabel("How fast").inputValue(), "1");
    await other.getByRole("button", { name: "Redrive 7 of 1,000 messages" }).waitFor();
    await other.getByLabel("How many").fill("");
    await other.getByLabel("How fast").selectOption({ label: "10 a second" });
    await other.getByRole("button", { name: "Redrive 1,000 messages" }).click();
    await other.locator('[data-phase="running"] .figure').waitFor();
    await other.locator("summary", { hasText: "What it does" }).click();
    await other.evaluate("window.isTheSame = true");
    await eventually(
      async () => assert(Number(await other.locator(".figure").textContent()) >= 6),
      6_000,
    );
    await other.waitForTimeout(1_500);
    assertEquals(await other.evaluate("window.isTheSame"), true, "it is followed, not loaded anew");
    assertEquals(await other.locator("details[open] pre").count(), 1, "what was opened stays open");
    await other.getByRole("button", { name: "Stop" }).click();
    await other.locator('[data-phase="stopped"]').waitFor();
    const { dead: left } = await queue.counts();
    assert(left > 900 && left < 1_000, String(left));
  },
);

pageTest(
  "rows are selected by mouse and by key, and only they are deleted",
  async ({ redis, open }) => {
    await using queue = new ReliableQueue<unknown>(redis, "mails");
    await bury(queue, 5);
    const page = await open("/queues/mails/messages?state=dead");
    const button = page.getByRole("button", { name: /^Delete selected/ });
    assert(await button.isDisabled());
    await page.locator("tbody input[name=id]").first().check();
    await page.keyboard.press("j");
    await page.keyboard.press("j");
    await page.keyboard.press("x");
    assertEquals(await page.locator("input[name=id]:checked").count(), 2);
    await page.getByLabel("Select all on this page").check();
    assertEquals(await page.locator("input[name=id]:checked").count(), 5);
    await page.locator("tbody input[name=id]").last().uncheck();
    assertEquals(await button.textContent(), "Delete selected 4");
    await button.click();
    await page.getByRole("button", { name: "Delete 4 messages" }).click();
    await page.locator('[data-phase="done"]').waitFor();
    assertEquals((await queue.counts()).dead, 1);
  },
);

pageTest(
  "a message is shown with its attempts, its keys, the commands behind its buttons, and its payload on demand",
  async ({ redis, open }) => {
    await using queue = new ReliableQueue<unknown>(redis, "mails", {
      maxAttempts: 2,
      backoff: { baseMs: 0 },
    });
    await queue.enqueue({ to: "ann@example.com" }, { id: "order 17" });
    for (const words of ["smtp is away", "smtp is still away"]) {
      await (await queue.receive())!.nack({ error: new Error(words) });
    }
    const page = await open("/queues/mails/messages?state=dead");
    await page.getByRole("link", { name: "order 17" }).click();
    await page.getByRole("heading", { name: "order 17" }).waitFor();
    assertEquals(await page.locator("ol.attempts li").count(), 2);
    const text = await page.locator("main").textContent();
    for (
      const expected of [
        "smtp is away",
        "queue:{mails}:dead",
        'HGET queue:{mails}:dead "order 17"',
        'queue.redrive({ ids: ["order 17"] })',
      ]
    ) {
      assert(text!.includes(expected), `${expected} is not in ${text}`);
    }
    assert(!text!.includes("ann@example.com"), "the payload is not shown before somebody asks");
    await page.getByRole("link", { name: "Show the payload" }).click();
    await page.getByText('"to": "ann@example.com"').waitFor();
    await page.getByRole("button", { name: "Redrive", exact: true }).click();
    await page.getByRole("button", { name: "Redrive 1 message" }).click();
    await page.locator('[data-phase="done"]').waitFor();
    assertEquals((await queue.counts()).ready, 1);
  },
);

pageTest("what somebody else wrote does nothing, wherever it is shown", async ({ redis, open }) => {
  await using queue = new ReliableQueue<unknown>(redis, EVIL, {
    maxAttempts: 1,
    keepFailed: { count: 5 },
  });
  await queue.enqueue({ to: EVIL, script: "<script>alert(1)</script>" }, { id: EVIL });
  const error = new Error(`${EVIL}"'>${EVIL}`);
  await (await queue.receive())!.nack({ error });
  await queue.enqueue({ to: EVIL }, { id: `"><script>alert(1)</script>` });
  const page = await open("/");
  const name = encodeURIComponent(EVIL);
  for (
    const path of [
      `/queues/${name}`,
      `/queues/${name}/errors`,
      `/queues/${name}/messages?state=dead&q=${encodeURIComponent(`"${EVIL}"`)}`,
      `/queues/${name}/messages?state=ready`,
      `/queues/${name}/messages?state=failed`,
      `/queues/${name}/messages/${name}?payload=1`,
      `/queues/${encodeURIComponent(`${EVIL}no`)}`,
    ]
  ) {
    await page.goto(new URL(path, page.url()).href);
    await page.waitForTimeout(700); // a frame of the live part, too
    assertEquals(await page.locator("img, main script").count(), 0, path);
    assert((await page.locator("main").textContent())!.includes("<img src=x"), path);
  }
});

pageTest(
  "a worker is paused with a click, once however often one clicks",
  async ({ redis, open }) => {
    await using queue = new ReliableQueue<number>(redis, "mails");
    await using worker = new Worker(queue, () => {});
    worker.start();
    const consumer = await eventually(async () => (await queue.consumers())[0]!.consumer);
    const page = await open("/workers");
    const posts: string[] = [];
    page.on("request", (request) => request.method() === "POST" && posts.push(request.url()));
    await page.route("**/pause", async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 400)); // a slow answer: time to click again
      await route.continue();
    });
    await page.evaluate(
      "for (const ms of [0, 80, 160]) setTimeout(() => document.querySelector('td.act button').click(), ms)",
    );
    await page.getByRole("button", { name: `Resume ${consumer}` }).waitFor();
    await page.getByText("paused", { exact: true }).waitFor();
    assertEquals((await queue.consumers())[0]?.paused, true);
    assertEquals(posts.map((url) => new URL(url).pathname), [
      `/queues/mails/workers/${consumer}/pause`,
    ]);
    await queue.enqueue(1);
    await page.goto(new URL("/", page.url()).href);
    await page.getByText("all workers paused").waitFor();
    await page.goto(new URL("/workers", page.url()).href);
    await page.getByRole("button", { name: `Resume ${consumer}` }).click();
    await eventually(async () => assertEquals((await queue.counts()).ready, 0));
  },
);

pageTest("a payload is coloured, and copied as it is", async ({ redis, open }) => {
  await using queue = new ReliableQueue<unknown>(redis, "mails");
  const payload = { to: 'ann "the" <b>', n: [1, -2.5e-7, true, null], "a: b": "c: 1" };
  await queue.enqueue(payload, { id: "one" });
  const page = await open("/queues/mails/messages/one?payload=1");
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  const shown = page.getByLabel("Payload", { exact: true });
  assertEquals(JSON.parse((await shown.textContent())!), payload);
  assertEquals(await shown.locator(".key").allTextContents(), ['"to"', '"n"', '"a: b"']);
  assertEquals(await shown.locator(".value").allTextContents(), ["1", "-2.5e-7", "true", "null"]);
  await page.getByRole("button", { name: "Copy the payload" }).click();
  await page.getByText("Copied").waitFor();
  assertEquals(
    JSON.parse(await page.evaluate("navigator.clipboard.readText()") as string),
    payload,
  );
});

pageTest("on a phone the tab that is open is in sight, and stays so", async ({ redis, open }) => {
  await using queue = new ReliableQueue<unknown>(redis, "mails");
  await bury(queue, 3);
  for (const [path, name] of [["/messages?state=failed", "Failed"], ["/errors", "Errors"]]) {
    const page = await open(`/queues/mails${path}`, { viewport: PHONE });
    await page.locator('#live-state[data-state="on"]').waitFor();
    await queue.enqueue(1);
    await page.waitForTimeout(700); // a frame
    const tab = page.getByRole("link", { name: name!, exact: true });
    const { x, width } = (await tab.boundingBox())!;
    assert(x >= 0 && x + width <= PHONE.width, `${name} is from ${x} to ${x + width}`);
  }
});

pageTest("on a phone nothing lies over anything else in a row", async ({ redis, open }) => {
  await using queue = new ReliableQueue<unknown>(redis, "mails");
  await bury(queue, 20);
  const page = await open("/queues/mails/messages?state=dead", { viewport: PHONE });
  const row = page.locator("tbody tr").first();
  const box = async (what: string) => (await row.locator(what).boundingBox())!;
  const [check, id, when, why] = await Promise.all(
    ["input[name=id]", "a.id", "td.when", "td.why"].map(box),
  );
  assert(check!.x + check!.width < id!.x, "the checkbox is in front of the id");
  assert(id!.x + id!.width < when!.x, "the id is in front of the time");
  assert(id!.y + id!.height <= why!.y + 1, "the error is below");
  for (const { y } of [id!, when!]) assertLess(Math.abs(y - check!.y), 8);
});

pageTest("a page of another server changes nothing", async ({ redis, open, url }) => {
  await using queue = new ReliableQueue<number>(redis, "mails");
  await queue.enqueue(1);
  const page = await open("/queues/mails"); // the browser has a session now
  const evil = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen: () => {} },
    () =>
      new Response(
        `<form id=f method=post action="${url}/queues/mails/pause"><input name=_token value=x></form>
       <script>f.submit()</script>`,
        { headers: { "content-type": "text/html" } },
      ),
  );
  const refused = page.waitForResponse((response) => response.url().endsWith("/pause"));
  await page.goto(`http://localhost:${evil.addr.port}/`).catch(() => {}); // it is left at once
  assertEquals((await refused).status(), 403);
  assertEquals((await queue.counts()).paused, undefined);
  await evil.shutdown();
});

pageTest(
  "read-only shows no button, and refuses a form that is sent anyway",
  async ({ redis, open }) => {
    await using queue = new ReliableQueue<unknown>(redis, "mails");
    await bury(queue, 3);
    const page = await open("/queues/mails/messages?state=dead");
    await page.getByText("read-only", { exact: true }).waitFor();
    assertEquals(await page.locator("main form[method=post], main input[name=id]").count(), 0);
    const status = await page.evaluate(async () => {
      const body = new URLSearchParams({ _token: "x", state: "dead", act: "redrive:matching" });
      return (await fetch("/queues/mails/plan", { method: "POST", body })).status;
    });
    assertEquals(status, 403);
    assertEquals((await queue.counts()).dead, 3);
  },
  { readOnly: true },
);

pageTest(
  "when Redis is stopped the page says so, and recovers by itself",
  async ({ redis, open, server }) => {
    const queue = new ReliableQueue<number>(redis, "mails");
    await queue.enqueue(1);
    await queue.close();
    const page = await open("/");
    await page.locator('[data-queue="mails"]').waitFor();
    await server.kill();
    await page.getByText("Redis cannot be reached").waitFor();
    const opened = await open("/queues/mails"); // and one that is opened meanwhile
    await opened.getByText("Redis cannot be reached").waitFor();
    await server.restart();
    await page.locator('[data-queue="mails"]').waitFor({ timeout: 10_000 });
    await opened.getByRole("heading", { name: "mails" }).waitFor({ timeout: 10_000 });
    await opened.getByRole("heading", { name: "In Redis" }).waitFor();
  },
);

for (const colorScheme of ["light", "dark"] as const) {
  for (const [on, viewport] of [["a desktop", DESKTOP], ["a phone", PHONE]] as const) {
    pageTest(`axe finds nothing on any page, ${colorScheme}, on ${on}`, async ({ redis, open }) => {
      const paths = await something(redis);
      const violations: string[] = [];
      const page = await open("/", { colorScheme, viewport, bypassCSP: true });
      for (const path of paths) {
        await page.goto(new URL(path, page.url()).href);
        await page.evaluate(axe.source);
        const found = await page.evaluate(async () => {
          // deno-lint-ignore no-explicit-any -- put there by the line above
          const { violations } = await (globalThis as any).axe.run();
          return violations.map((
            one: { id: string; nodes: { html: string; failureSummary: string }[] },
          ) => `${one.id}: ${one.nodes[0]!.html} ${one.nodes[0]!.failureSummary}`);
        });
        violations.push(...found.map((one: string) => `${path}: ${one}`));
        const [wide, width] = await page.evaluate(() => {
          // deno-lint-ignore no-explicit-any -- the browser's document
          const { scrollWidth, clientWidth } = (globalThis as any).document.documentElement;
          return [scrollWidth, clientWidth] as const;
        });
        if (wide > width) violations.push(`${path} is ${wide} wide on ${width}`);
      }
      assertEquals(violations, []);
    });
  }
}

pageTest("the browser stays small while a page changes for long", async ({ redis, open }) => {
  await using queue = new ReliableQueue<number>(redis, "mails");
  const page = await open("/");
  await page.locator('#live-state[data-state="on"]').waitFor();
  for (let i = 0; i < 10; i++) {
    await queue.enqueueMany([1, 2, 3]);
    await page.waitForTimeout(500);
  }
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  const { metrics } = await session.send("Performance.enable").then(() =>
    session.send("Performance.getMetrics")
  );
  const of = (name: string) => metrics.find((one) => one.name === name)!.value;
  assertLess(of("JSHeapUsedSize"), 50_000_000);
  assertLess(of("Nodes"), 5_000);
});
