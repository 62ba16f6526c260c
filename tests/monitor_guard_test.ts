/** Who may do what with the web dashboard and the job queue server. */
import { assertEquals } from "@std/assert";
import { ReliableQueue } from "@workshop/redis-patterns";
import { post, serve } from "./monitor_web_support.ts";
import { redisTest } from "./support.ts";

redisTest(
  "the job server asks for its token, and for nothing else when it has it",
  async (test) => {
    await using server = serve({ redis: test.url, token: "s3cret" });
    const at = `${server.url}/queues/${test.name}/messages`;
    const withToken = (token: string) => ({
      method: "POST",
      headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    });
    const without = await post(at, { payload: 1 });
    assertEquals([without.status, without.headers.get("www-authenticate")], [401, "Bearer"]);
    for (const wrong of ["", "s3cre", "s3cret ", "S3CRET", "x".repeat(10_000)]) {
      const headers = { "content-type": "application/json", authorization: `Bearer ${wrong}x` };
      assertEquals((await post(at, { payload: 1 }, { headers })).status, 401, wrong.slice(0, 20));
    }
    assertEquals((await post(at, { payload: 1 }, withToken("s3cret"))).status, 201);
    for (const path of ["/queues", "/metrics", "/live/", "/queues/x"]) {
      const response = await fetch(server.url + path);
      await response.body?.cancel();
      assertEquals(response.status, 401, path);
    }
  },
);

redisTest("a read-only server refuses every change, also of programs", async (test) => {
  await using queue = new ReliableQueue<number>(test.redis, test.name);
  await queue.enqueue(1);
  await using server = serve({ redis: test.url, readOnly: true });
  for (
    const path of [
      `/queues/${test.name}/messages`,
      `/queues/${test.name}/receive`,
      `/queues/${test.name}/pause`,
      `/queues/${test.name}/plan`,
      "/deliveries/l.eA.abc:1:0:1/ack",
      "/operations/1/run",
      "/nowhere",
    ]
  ) {
    const { status, body } = await post(server.url + path, { payload: 1 });
    assertEquals([status, body["type"]], [403, "urn:redis-patterns:problem:read-only"], path);
  }
  const { ready, paused } = await queue.counts();
  assertEquals([ready, paused], [1, undefined]);
  assertEquals((await (await fetch(`${server.url}/queues/${test.name}`)).json()).counts.ready, 1);
});

redisTest("a foreign Host or Origin is refused", async (test) => {
  await using server = serve({ redis: test.url, hosts: ["queues.example.com"] });
  const ask = (headers: Record<string, string>, method = "GET") => {
    return server.dashboard.fetch(new Request(`${server.url}/queues`, { method, headers }));
  };
  const statusOf = async (headers: Record<string, string>, method?: string) =>
    (await ask(headers, method)).status;
  for (
    const host of [
      "evil.example",
      "127.0.0.1.evil.example",
      "localhost.evil.example:80",
      "",
      "0.0.0.0",
    ]
  ) {
    assertEquals(await statusOf({ host }), 421, host);
  }
  for (
    const host of [
      "localhost:8080",
      "127.0.0.1",
      "[::1]:9",
      "queues.example.com",
      "QUEUES.example.com:443",
    ]
  ) {
    assertEquals(await statusOf({ host }), 200, host);
  }
  const host = "localhost:8080";
  for (
    const from of [
      { origin: "http://evil.example" },
      { origin: "http://localhost:9999" },
      { origin: "null" },
      { origin: "http://localhost:8080", "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site" },
    ]
  ) {
    assertEquals(
      await statusOf({ host, ...from } as Record<string, string>, "POST"),
      403,
      JSON.stringify(from),
    );
  }
  assertEquals(
    await statusOf({ host, origin: "http://localhost:8080" }, "POST"),
    404,
    "ours gets further",
  );
});
