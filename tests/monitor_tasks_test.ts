/** Tasks and schedules in the web dashboard. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  type TaskContext,
  TaskProducer,
  TaskScheduler,
  TaskWorker,
} from "@workshop/redis-patterns/tasks";
import { page, Reader, serve } from "./monitor_web_support.ts";
import { eventually, redisTest } from "./support.ts";

const EVIL = "<img src=x onerror=alert(1)>";

redisTest("schedules are shown, from whoever fires them", async (test) => {
  const nextAt = Date.now() + 3_600_000;
  await using server = serve({
    redis: test.url,
    schedules: () =>
      Promise.resolve([{
        name: EVIL,
        queue: "reports",
        pattern: "0 9 * * 1-5",
        timeZone: "Europe/Berlin",
        nextAt,
      }]),
  });
  const { html } = await page(`${server.url}/schedules`);
  assert(
    html.includes("0 9 * * 1-5") && html.includes("Europe/Berlin") && /in 59 min|in 1 h/.test(html),
    html,
  );
  assert(!html.includes("<img"));
});

/** The tasks of these tests. */
type Tasks = {
  double(payload: { data: number }): { doubled: number };
  mail(payload: { to: string }): void;
  album(payload: { pages: number }): void;
  ping(): void;
};

redisTest(
  "tasks are shown by their records, and what they gave when it is asked for",
  async (test) => {
    const { redis, name } = test;
    const released = Promise.withResolvers<void>();
    const handlers = {
      double: ({ data }: { data: number }) => ({ doubled: 2 * data, note: EVIL }),
      mail: ({ to }: { to: string }): void => {
        throw new Error(`no such address ${to} ${EVIL}`);
      },
      album: async (_: { pages: number }, { progress }: TaskContext) => {
        await progress({ done: 3, of: 12, note: EVIL });
        await released.promise;
      },
      ping: () => {},
    };
    await using producer = new TaskProducer<typeof handlers>(redis, { name });
    const worker = new TaskWorker(redis, { name, handlers, maxAttempts: 1, concurrency: 4 });
    worker.start();
    await producer.add("double", { data: 42 }, { id: "done" });
    await producer.add("mail", { to: "dora" }, { id: "died" });
    await producer.add("album", { pages: 12 }, { id: "runs" });
    await producer.add("double", { data: 1 }, { id: "waits", delayMs: 600_000 });
    await eventually(async () => {
      const records = await producer.queue.tasks(["done", "died", "runs"]);
      assertEquals(records.map((record) => record?.state), ["done", "dead", "running"]);
      assert("progress" in records[2]!);
    });
    await using server = serve({ redis: test.url });
    const reader = new Reader(server.url);
    const seen = async (path: string, ...texts: string[]) => {
      const { html, status } = await reader.open(`/queues/${name}${path}`);
      assertEquals(status, 200, path);
      assert(!html.includes("<img"), `${path} has live markup`);
      for (const text of texts) assertStringIncludes(html, text, path);
      return html;
    };
    const front = await seen(
      "",
      "Lately",
      ">Done<",
      ">Running<",
      ">Delayed<",
      ">Dead<",
      "no such address",
    );
    for (const id of ["done", "died", "runs", "waits"]) {
      assertStringIncludes(front, `/messages/${id}"`);
    }
    for (const key of ["records", "records:until", "events", "schedules", "schedules:at"]) {
      assertStringIncludes(front, `queue:{${name}}:${key}`);
    }
    assert(!front.includes("doubled"), "no result in a list");

    const done = await seen(
      "/messages/done",
      "double",
      "Show the result",
      `HGET queue:{${name}}:records`,
    );
    assert(!done.includes("doubled"), "a result is shown when it is asked for");
    await seen("/messages/done?result=1", "doubled", "84");
    const runs = await seen("/messages/runs", "album", "Running", 'value="0.25"', "Give back");
    assert(!runs.includes("pages"), "a payload is shown when it is asked for");
    await seen("/messages/runs?state=leased&payload=1", "pages");
    await seen("/messages/died", "mail", "no such address dora", "Redrive", "Attempt 1");
    await seen("/messages/waits", "Delayed", "double");
    assertEquals((await reader.open(`/queues/${name}/messages/nobody`)).status, 404);

    await seen("/messages?state=leased", "album", 'value="0.25"');
    const found = async (state: string, q: string) => {
      const html = await seen(`/messages?state=${state}&q=${encodeURIComponent(q)}`);
      return [...html.matchAll(/name="id" value="(\w+)"/g)].map(([, id]) => id);
    };
    assertEquals(await found("delayed", "type:double"), ["waits"]);
    assertEquals(await found("delayed", "type:mail"), []);
    assertEquals(await found("dead", "type:mail payload.to:dora"), ["died"]);
    assertEquals(await found("dead", "-type:mail"), []);
    const plan = await reader.press(`/queues/${name}/plan`, await reader.open(`/queues/${name}`), [
      ["state", "dead"],
      ["act", "redrive:matching"],
      ["q", "type:mail"],
    ]);
    await eventually(async () => {
      assertStringIncludes((await reader.open(plan.path)).html, "1 message");
    });
    released.resolve();
    await worker.stop();
  },
);

redisTest("a queue of tasks that keeps no events has a page all the same", async (test) => {
  const { redis, name } = test;
  await using producer = new TaskProducer<Tasks>(redis, { name, maxEvents: 0 });
  await producer.add("double", { data: 42 }, { id: "waits" });
  await using server = serve({ redis: test.url });
  const { html, status } = await page(`${server.url}/queues/${name}`);
  assertEquals(status, 200);
  assertStringIncludes(html, "maxEvents: 0");
  assertStringIncludes((await page(`${server.url}/queues/${name}/messages/waits`)).html, "double");
});

redisTest("the schedules of queues of tasks are shown by themselves", async (test) => {
  const { redis, name } = test;
  const scheduler = new TaskScheduler<Tasks>(redis, { name });
  const timeZone = "Europe/Vienna";
  await scheduler.cron(EVIL, "0 3 * * *", "mail", { to: "secret" }, { timeZone });
  await scheduler.every("pulse", 3_600_000, "ping", null);
  await using server = serve({ redis: test.url });
  const { html } = await page(`${server.url}/schedules`);
  for (const text of ["0 3 * * *", timeZone, "mail", "every 1 h", "pulse", "ping", "then "]) {
    assertStringIncludes(html, text);
  }
  assert(!html.includes("<img") && !html.includes("secret"));
  for (const schedule of await scheduler.list()) await scheduler.remove(schedule.name);
});
