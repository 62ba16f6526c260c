import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FaultyProxy } from "./proxy.ts";

Deno.test("FaultyProxy passes everything on and counts", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);

  await client.send(["SET", "a"], ["GET", "b"]);

  assertEquals(await client.receive(2), ["SET a", "GET b"]);
  assertEquals([proxy.connections, proxy.requests], [1, 2]);
  assertEquals(proxy.url, `redis://127.0.0.1:${proxy.port}`);
});

Deno.test("FaultyProxy passes on a reply that is larger than its buffer", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);
  const large = "x".repeat(300_000);

  await client.send([large], ["after"]);

  assertEquals(await client.receive(2), [large, "after"]);
});

Deno.test("FaultyProxy.cut() closes live connections and accepts new ones", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);
  await client.ask("PING");

  proxy.cut();

  await assertRejects(() => client.ask("PING"), Disconnected);
  using next = await Client.connect(proxy.port);
  assertEquals(await next.ask("PING"), "PING");
});

Deno.test("FaultyProxy.blackHole() swallows both directions and leaves connections open", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using before = await Client.connect(proxy.port);
  await before.ask("PING");
  using idle = await Client.connect(proxy.port);
  await idle.ask("PING");

  proxy.blackHole(true);
  using during = await Client.connect(proxy.port);
  assert(await before.isSilentAfter("PING"));
  assert(await during.isSilentAfter("PING"));
  assertEquals(server.requests, 2, "nothing gets through to the server");

  proxy.blackHole(false);
  using after = await Client.connect(proxy.port);
  assertEquals(await after.ask("PING"), "PING");
  assertEquals(await idle.ask("PING"), "PING", "a connection that lost nothing goes on");
  assert(await before.isSilentAfter("PING"), "a connection that lost bytes does not");
});

Deno.test("FaultyProxy.blackHole() hides that the server hung up", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);
  await client.ask("PING");

  proxy.blackHole(true);
  assert(await client.isSilentAfter("PING"));
  await server[Symbol.asyncDispose]();

  assert(await client.isSilentAfter("PING"));
});

Deno.test("FaultyProxy.dropReplies() loses the next reply and cuts; the command ran", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);

  const dropped = proxy.dropReplies(1);
  await assertRejects(() => client.ask("LPUSH"), Disconnected);

  await dropped;
  assertEquals(server.requests, 1);
  using next = await Client.connect(proxy.port);
  assertEquals(await next.ask("LPUSH"), "LPUSH");
});

Deno.test("FaultyProxy.dropReplies() waits for the request that `after` matches", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);

  const dropped = proxy.dropReplies(2, { after: /lpush/i });
  await client.send(["GET"], ["LPUSH", "a"], ["LLEN"], ["GET"]);

  assertEquals(await client.receive(1), ["GET"], "the reply before it arrives");
  await assertRejects(() => client.receive(1), Disconnected);
  await dropped;
  assertEquals(server.requests, 4);
});

Deno.test("FaultyProxy.dropReplies() with a predicate sees request and reply", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);

  proxy.dropReplies((request, reply) => request.includes("EVAL") && reply.includes("two"));

  assertEquals(await client.ask("EVAL", "one"), "EVAL one");
  assertEquals(await client.ask("GET", "two"), "GET two");
  await assertRejects(() => client.ask("EVAL", "two"), Disconnected);
});

Deno.test("FaultyProxy.dropReplies() does not take pushed messages for replies", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);

  proxy.dropReplies(1, { after: /LPUSH/ });

  assertEquals(await client.ask("SUBSCRIBE", "news"), "SUBSCRIBE news");
  assertEquals(await client.ask("GET"), "GET");
  await assertRejects(() => client.ask("LPUSH"), Disconnected);
});

Deno.test("FaultyProxy.dropReplies() refuses a count that is not positive", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });

  assertThrows(() => proxy.dropReplies(0), RangeError, "0");
});

Deno.test("FaultyProxy.refuse() closes new connections and leaves live ones", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using live = await Client.connect(proxy.port);
  await live.ask("PING");

  proxy.refuse(true);
  using refused = await Client.connect(proxy.port);
  await assertRejects(() => refused.ask("PING"), Disconnected);
  assertEquals(await live.ask("PING"), "PING");

  proxy.refuse(false);
  using next = await Client.connect(proxy.port);
  assertEquals(await next.ask("PING"), "PING");
});

Deno.test("FaultyProxy hangs up when the server is not there", async () => {
  const server = new EchoServer();
  await server[Symbol.asyncDispose]();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);

  await assertRejects(() => client.ask("PING"), Disconnected);
});

Deno.test("FaultyProxy.delay() delays replies together and in order", async () => {
  await using server = new EchoServer();
  await using proxy = await FaultyProxy.start({ port: server.port });
  using client = await Client.connect(proxy.port);
  await client.ask("PING");

  proxy.delay(50);
  const start = performance.now();
  for (const name of ["a", "b", "c", "d"]) await client.send([name]);
  assertEquals(await client.receive(4), ["a", "b", "c", "d"]);

  const took = performance.now() - start;
  assert(took >= 45 && took < 190, `four delays of 50 ms side by side took ${took} ms`);
});

Deno.test("FaultyProxy leaves nothing open when it is disposed in the middle", async () => {
  await using server = new EchoServer();
  using client = await (async () => {
    await using proxy = await FaultyProxy.start({ port: server.port });
    const client = await Client.connect(proxy.port);
    proxy.delay(60_000);
    await client.send(["PING"]);
    await server.received(1);
    return client;
  })();

  await assertRejects(() => client.receive(1), Disconnected);
});

/** What a client in these tests throws when the other side is gone. */
class Disconnected extends Error {}

const encoder = new TextEncoder();

/** A server that answers every command with its own words, and SUBSCRIBE with a push. */
class EchoServer implements AsyncDisposable {
  readonly port: number;
  requests = 0;
  #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  #conns: Deno.Conn[] = [];
  #running: Promise<void>[] = [];
  #arrived = Promise.withResolvers<void>();

  constructor() {
    this.port = this.#listener.addr.port;
    this.#running.push(this.#accept());
  }

  /** Resolves when so many requests have arrived. */
  async received(count: number): Promise<void> {
    while (this.requests < count) await this.#arrived.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#listener.close();
    } catch { /* disposed before: a test may stop the server early */ }
    for (const conn of this.#conns.splice(0)) conn.close();
    await Promise.all(this.#running);
  }

  async #accept(): Promise<void> {
    for await (const conn of this.#listener) {
      this.#conns.push(conn);
      this.#running.push(this.#answer(conn));
    }
  }

  async #answer(conn: Deno.Conn): Promise<void> {
    try {
      for await (const line of linesOf(conn)) {
        this.requests++;
        this.#arrived.resolve();
        this.#arrived = Promise.withResolvers();
        const sort = line.startsWith("SUBSCRIBE") ? ">1\r\n" : "";
        const reply = encoder.encode(`${sort}$${line.length}\r\n${line}\r\n`);
        for (let at = 0; at < reply.length;) at += await conn.write(reply.subarray(at));
      }
    } catch { /* the connection is gone: that is what these tests are about */ }
  }
}

/** A client that sends arrays of bulk strings and receives bulk strings. */
class Client implements Disposable {
  #conn: Deno.Conn;
  #lines: AsyncGenerator<string>;
  #silence: Promise<unknown> | undefined;

  private constructor(conn: Deno.Conn) {
    this.#conn = conn;
    this.#lines = linesOf(conn);
  }

  static async connect(port: number): Promise<Client> {
    return new Client(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  async send(...commands: string[][]): Promise<void> {
    const words = (command: string[]) => command.map((word) => `$${word.length}\r\n${word}\r\n`);
    const request = commands.map((it) => `*${it.length}\r\n${words(it).join("")}`).join("");
    const bytes = encoder.encode(request);
    try {
      for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
    } catch (cause) {
      throw new Disconnected("write failed", { cause });
    }
  }

  async receive(count: number): Promise<string[]> {
    const replies: string[] = [];
    while (replies.length < count) {
      const { value, done } = await this.#lines.next().catch((cause) => {
        throw new Disconnected("read failed", { cause });
      });
      if (done) throw new Disconnected("end of stream");
      replies.push(value);
    }
    return replies;
  }

  async ask(...command: string[]): Promise<string> {
    await this.send(command);
    return (await this.receive(1))[0]!;
  }

  /** Sends, and watches for 30 ms that neither an answer nor the end of the connection comes. */
  async isSilentAfter(...command: string[]): Promise<boolean> {
    await this.send(command);
    this.#silence ??= this.receive(1).catch(() => {});
    let timer: ReturnType<typeof setTimeout> | undefined;
    const quiet = new Promise<true>((resolve) => timer = setTimeout(resolve, 30, true));
    const silent = await Promise.race([quiet, this.#silence.then(() => false)]);
    clearTimeout(timer);
    return silent;
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

/** The words of each command or bulk string, joined; enough RESP for strings without line ends. */
async function* linesOf(conn: Deno.Conn): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(16_384);
  let rest = "";
  let words: string[] = [];
  let missing = 1;
  for (let size = await conn.read(buffer); size !== null; size = await conn.read(buffer)) {
    const lines = (rest + decoder.decode(buffer.subarray(0, size))).split("\r\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith("*")) missing = Number(line.slice(1));
      else if (!/^[$>]\d/.test(line)) words.push(line);
      if (words.length < missing) continue;
      yield words.join(" ");
      [words, missing] = [[], 1];
    }
  }
}
