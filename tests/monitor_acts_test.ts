/** The buttons of the web dashboard: who may press them, what they do, and what stands behind them. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  connect,
  type LeasedQueueOptions,
  PriorityQueue,
  type RedisClient,
  ReliableQueue,
  StreamQueue,
  Worker,
} from "@workshop/redis-patterns";
import { TaskQueue } from "@workshop/redis-patterns/tasks";
import { post, Reader, serve } from "./monitor_web_support.ts";
import { eventually, redisTest, serverTest } from "./support.ts";

redisTest("a form without the page's token, or from before, changes nothing", async (test) => {
  await using queue = new ReliableQueue<unknown>(test.redis, test.name);
  await queue.enqueue(1);
  await using server = serve({ redis: test.url });
  const reader = new Reader(server.url);
  const shown = await reader.open(`/queues/${test.name}`);
  const stranger = new Reader(server.url);
  for (const who of [stranger, new Reader(server.url)]) {
    const { status } = await who.press(`/queues/${test.name}/pause`, shown, []);
    assertEquals(status, 403);
  }
  assertEquals((await stranger.press(`/queues/${test.name}/pause`, { html: "" }, [])).status, 403);
  const asJson = await post(`${server.url}/queues/${test.name}/pause`, { _token: "x" });
  assertEquals(asJson.status, 400);
  assertEquals((await queue.counts()).paused, undefined);
});

redisTest("one signs in with the token, once, and out again", async (test) => {
  await using queue = new ReliableQueue<number>(test.redis, test.name);
  await queue.enqueue(1);
  await using server = serve({ redis: test.url, token: "s3cret" });
  const reader = new Reader(server.url);
  const at = `/queues/${test.name}`;
  const door = await reader.open(at);
  assert(
    door.html.includes("Sign in") && !door.html.includes("Workers"),
    "it tells nothing before",
  );
  assertEquals(door.path, `/login?next=${encodeURIComponent(at)}`);
  const wrong = await reader.press("/login", door, [["token", "s3cre"], ["next", at]]);
  assertEquals([wrong.status, wrong.html.includes("That is not the token")], [403, true]);
  const inside = await reader.press("/login", door, [["token", "s3cret"], ["next", at]]);
  assertEquals([inside.status, inside.path], [200, at]);
  assert((await reader.open("/")).html.includes("Sign out"));
  await reader.press("/logout", inside, []);
  assert((await reader.open("/")).html.includes("Sign in"));
  for (const next of ["//evil.example", "https://evil.example", "/\\evil.example", "evil"]) {
    const other = new Reader(server.url);
    const { path } = await other.press("/login", await other.open("/login"), [["token", "s3cret"], [
      "next",
      next,
    ]]);
    assertEquals(path, "/", next);
  }
});

redisTest("selected messages are given back, buried and deleted, and no others", async (test) => {
  await using queue = new ReliableQueue<unknown>(test.redis, test.name);
  await queue.enqueueMany([1, 2, 3]);
  const held = await queue.receiveMany(3);
  // Its own programs may allow more attempts, and keep more dead letters, than is usual.
  await test.redis.hSet(`queue:{${test.name}}:dead`, "old", "x");
  await test.redis.zAdd(`queue:{${test.name}}:dead:at`, { score: 1, value: "old" });
  await queue.enqueue(4, { id: "four", delayMs: 60_000 });
  await queue.enqueue(5, { id: "five", delayMs: 60_000 });
  await using server = serve({ redis: test.url });
  const reader = new Reader(server.url);
  const at = `/queues/${test.name}`;
  const act = async (state: string, act: string, ids: string[]) => {
    const list = await reader.open(`${at}/messages?state=${state}`);
    const fields = ids.map((id): [string, string] => ["id", id]);
    const plan = await reader.press(`${at}/plan`, list, [
      ["state", state],
      ["act", act],
      ...fields,
    ]);
    if (plan.status !== 200) return plan.status;
    const asking = await eventually(async () => {
      const shown = await reader.open(plan.path);
      assert(shown.html.includes('data-phase="asking"'));
      return shown;
    });
    await reader.press(`${plan.path}/run`, asking, []);
    await eventually(async () =>
      assert((await reader.open(plan.path)).html.includes('data-phase="done"'))
    );
    return 200;
  };
  const now = async () => {
    const { ready, leased, delayed, dead } = await queue.counts();
    return [ready, leased, delayed, dead];
  };
  await act("leased", "give back:selected", [held[0]!.id]);
  assertEquals(await now(), [1, 2, 2, 1]);
  await act("leased", "bury:selected", [held[1]!.id]);
  assertEquals(
    await test.redis.zRem(`queue:{${test.name}}:dead:at`, "old"),
    1,
    "it was thrown away",
  );
  await test.redis.hDel(`queue:{${test.name}}:dead`, "old");
  assertEquals(await now(), [1, 1, 2, 1]);
  await act("delayed", "delete:selected", ["four"]);
  assertEquals(await now(), [1, 1, 1, 1]);
  await act("dead", "delete:selected", [held[1]!.id]);
  assertEquals(await now(), [1, 1, 1, 0]);
  await act("delayed", "purge:matching", []);
  assertEquals(await now(), [1, 1, 0, 0]);
  assertEquals(await act("ready", "redrive:selected", ["x"]), 400);
  assertEquals(await act("dead", "delete:selected", []), 400);
  assertEquals(await act("dead", "delete:everything", ["x"]), 400);
  await held[2]!.ack();
});

/** A queue of tasks, made as the others are. */
class AnyTaskQueue extends TaskQueue<Record<string, (payload: unknown) => unknown>> {
  constructor(client: RedisClient, name: string, options: LeasedQueueOptions<unknown>) {
    const { backoff } = options;
    super(client, { name, ...(backoff && { backoff }) });
  }
}

for (
  const [kind, Queue] of [["list", ReliableQueue], ["priority", PriorityQueue], [
    "stream",
    StreamQueue,
  ], ["tasks", AnyTaskQueue]] as const
) {
  serverTest(`what stands behind the buttons of a ${kind} is what MONITOR shows`, async (redis) => {
    const client = await connect({ url: redis.url, heartbeatMs: 0 });
    const monitor = await connect({ url: redis.url, heartbeatMs: 0 });
    try {
      const queue = new Queue<unknown>(client, "mails", { backoff: { baseMs: 0 } });
      const payload = (n: number) => ({ type: "send", payload: n });
      await queue.enqueueMany([1, 2, 3, 4, 5, 6].map(payload));
      for (const delivery of await queue.receiveMany(2)) await delivery.deadLetter("boom");
      await queue.receiveMany(2);
      await queue.enqueue(payload(7), { delayMs: 60_000, id: "seven" });
      await using server = serve({ redis: redis.url });
      const reader = new Reader(server.url);
      let seen: string[] = [];
      await monitor.monitor((line) =>
        void seen.push(String(line).replaceAll('"', "").replace(/^.*?\] /, ""))
      );
      for (
        const [state, verb] of [
          ["dead", "redrive"],
          ["dead", "delete"],
          ["leased", "give back"],
          ["leased", "bury"],
          ["delayed", "delete"],
          ["ready", "delete"],
        ] as const
      ) {
        const { messages: [message] } = await queue.peek(state);
        const shown = await reader.open(`/queues/mails/messages/${message!.id}?state=${state}`);
        const told = [...shown.html.matchAll(/<pre>(await queue\.[\s\S]*?)<\/pre>/g)]
          .map(([, text]) => text!.split("\n").slice(2)).find((_, i) =>
            i === (verb === "delete" && state === "dead" || verb === "bury" ? 1 : 0)
          )!;
        const plan = await reader.press("/queues/mails/plan", shown, [["state", state], [
          "id",
          message!.id,
        ], ["act", `${verb}:selected`]]);
        const asking = await eventually(async () => {
          const page = await reader.open(plan.path);
          assert(page.html.includes('data-phase="asking"'), page.html);
          return page;
        });
        seen = [];
        await reader.press(`${plan.path}/run`, asking, []);
        await eventually(() => {
          for (const command of told) {
            // A script is sent by its hash, or the first time as a whole, which begins with its name.
            const [, script] = /^EVALSHA (\w+)$/.exec(command) ?? [];
            const found = seen.some((line) =>
              script ? /^EVAL(SHA)? /.test(line) : line.startsWith(command)
            );
            assert(
              found,
              `${state} ${verb}: ${command} is not among\n${seen.join("\n").slice(0, 3_000)}`,
            );
          }
        });
      }
      await queue.close();
    } finally {
      client.destroy();
      monitor.destroy();
    }
  });
}

redisTest("a worker is paused and resumed by its button, and by nobody else's", async (test) => {
  await using queue = new StreamQueue<number>(test.redis, test.name);
  await using worker = new Worker(queue, () => {}, { mode: "polling" });
  worker.start();
  const consumer = await eventually(async () => (await queue.consumers())[0]!.consumer);
  await using server = serve({ redis: test.url });
  const reader = new Reader(server.url);
  const at = `/queues/${test.name}`;
  for (const page of ["/workers", at]) {
    const shown = await reader.open(page);
    const press = `${at}/workers/${consumer}`;
    assertStringIncludes(shown.html, `action="${encodeURI(press)}/pause"`.replaceAll(":", "%3A"));
    assertStringIncludes(shown.html, "queue.pauseConsumer");
    const paused = await reader.press(`${press}/pause`, shown, [["back", page]]);
    assertEquals([paused.path, paused.status], [page, 200]);
    assertEquals((await queue.consumers())[0]?.paused, true);
    assertStringIncludes(paused.html, ">paused<");
    await reader.press(`${press}/resume`, paused, [["back", page]]);
    assertEquals((await queue.consumers())[0]?.paused, undefined);
  }
  await queue.pauseConsumer(consumer);
  await queue.enqueue(1);
  await eventually(async () => {
    assertStringIncludes((await reader.open(at)).html, "all workers paused");
  });
  const shown = await reader.open("/workers");
  const to = async (who: string, back: string) => {
    return await reader.press(`${at}/workers/${who}/resume`, shown, [["back", back]]);
  };
  assertEquals((await to("nobody", "/")).status, 404);
  assertEquals((await to("a%20b", "/")).status, 400);
  assertEquals((await to(consumer, "//evil.example")).path, "/workers");
  await using shut = serve({ redis: test.url, readOnly: true });
  const other = new Reader(shut.url);
  const looked = await other.open("/workers");
  assert(!looked.html.includes("<form"), "no button");
  assertEquals((await other.press(`${at}/workers/${consumer}/pause`, looked, [])).status, 403);
  assertEquals((await queue.consumers())[0]?.paused, undefined);
});

redisTest(
  "what a consumer of a stream holds is claimed back, and nothing of others",
  async (test) => {
    await using queue = new StreamQueue<string>(test.redis, test.name);
    await using other = new StreamQueue<string>(test.redis, test.name);
    await queue.enqueueMany(["a", "b", "c"]);
    // Two hands, as a worker's are.
    const mine = [(await queue.receive())!, (await queue.receive())!];
    const theirs = (await other.receive())!;
    const consumer = mine[0]!.token.split(":")[0]!;
    await using server = serve({ redis: test.url });
    const reader = new Reader(server.url);
    const streams = await reader.open("/streams");
    assertStringIncludes(streams.html, `Claim back what ${consumer} holds`);
    assertStringIncludes(streams.html, "2 in hand");
    const plan = await reader.press(`/queues/${test.name}/plan`, streams, [
      ["state", "leased"],
      ["q", `consumer:${consumer}`],
      ["act", "give back:matching"],
    ]);
    const asking = await eventually(async () => {
      const shown = await reader.open(plan.path);
      assertStringIncludes(shown.html, "2 messages");
      assertStringIncludes(shown.html, 'data-phase="asking"');
      return shown;
    });
    assertEquals((await queue.counts()).leased, 3, "it asks first");
    await reader.press(`${plan.path}/run`, asking, []);
    await eventually(async () => {
      const { ready, leased } = await queue.counts();
      assertEquals([ready, leased], [2, 1]);
    });
    await theirs.ack();
    assertEquals((await queue.receiveMany(3)).map(({ attempt }) => attempt), [2, 2]);
  },
);

redisTest("the first few of what was counted are redriven, and no more", async (test) => {
  await using queue = new ReliableQueue<number>(test.redis, test.name);
  await queue.enqueueMany([1, 2, 3, 4, 5]);
  for (const delivery of await queue.receiveMany(5)) await delivery.deadLetter("boom");
  await using server = serve({ redis: test.url });
  const reader = new Reader(server.url);
  const at = `/queues/${test.name}`;
  const fields: [string, string][] = [["state", "dead"], ["act", "redrive:matching"]];
  const plan = await reader.press(`${at}/plan`, await reader.open(at), fields);
  const asking = await eventually(async () => {
    const shown = await reader.open(plan.path);
    assertStringIncludes(shown.html, 'data-phase="asking"');
    return shown;
  });
  for (const most of ["0", "1.5", "x", "-1"]) {
    const { status } = await reader.press(`${plan.path}/run`, asking, [["most", most]]);
    assertEquals(status, 400, most);
  }
  assertEquals((await queue.counts()).dead, 5);
  await reader.press(`${plan.path}/run`, asking, [["most", "2"], ["perSecond", "100"]]);
  await eventually(async () => {
    const { html } = await reader.open(plan.path);
    assertStringIncludes(html, 'data-phase="done"');
    assertStringIncludes(html, "of 2<");
  });
  const { ready, dead } = await queue.counts();
  assertEquals([ready, dead], [2, 3]);
  assertEquals((await queue.receiveMany(5)).map(({ payload }) => payload), [1, 2], "the oldest");
});
