/** TLS with an authority of our own, made by openssl: what works, and what has to be refused. */
import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import {
  connect,
  ListQueue,
  Publisher,
  RedisConnectionError,
  ReliableQueue,
  Subscriber,
  type TlsOptions,
  Worker,
} from "@workshop/redis-patterns";
import { RedisServer } from "../tools/redis_server.ts";
import { run, which } from "../tools/run.ts";
import { eventually } from "./support.ts";

const openssl = await which("openssl");

interface Certificates {
  /** Path of the authority's certificate. */
  ca: string;
  /** Path of the certificate for 127.0.0.1 that it signed. */
  cert: string;
  /** Path of its key. */
  key: string;
}

/** An authority, and a certificate for 127.0.0.1 signed by it. */
async function certificates(dir: string, name: string): Promise<Certificates> {
  const path = (file: string) => `${dir}/${name}-${file}`;
  const request = ["req", "-newkey", "rsa:2048", "-nodes"];
  const make = async (...args: string[]) => {
    const result = await run(openssl!, args);
    assert(result.ok, result.stderr);
  };
  const ca = ["-keyout", path("ca.key"), "-out", path("ca.pem"), "-subj", `/CN=${name} authority`];
  await make(...request, "-x509", ...ca);
  const csr = ["-keyout", path("key.pem"), "-out", path("csr.pem"), "-subj", "/CN=redis"];
  await make(...request, ...csr);
  await Deno.writeTextFile(path("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n");
  const signer = ["-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial"];
  const leaf = ["-in", path("csr.pem"), "-out", path("cert.pem"), "-extfile", path("ext")];
  await make("x509", "-req", ...signer, ...leaf);
  return { ca: path("ca.pem"), cert: path("cert.pem"), key: path("key.pem") };
}

Deno.test({
  name: "connect checks the server's certificate, and gives up at once when it is wrong",
  ignore: !openssl && Deno.env.get("CI") === undefined, // no openssl on this machine
  fn: async () => {
    const dir = await Deno.makeTempDir();
    try {
      const [ours, other] = await Promise.all(
        ["ours", "other"].map((name) => certificates(dir, name)),
      ) as [Certificates, Certificates];
      await using server = await RedisServer.start({ tls: ours });
      const redis = await connect({ url: server.url, tls: await tls(ours) });
      await using queue = new ListQueue<string>(redis, "mail");
      await queue.enqueue("sealed");
      assertEquals((await queue.receive({ waitMs: 1_000 }))?.payload, "sealed");
      // Connections that are made from it are as secure.
      const reliable = new ReliableQueue<string>(redis, "orders");
      const handled: string[] = [];
      const worker = new Worker(reliable, (text) => void handled.push(text));
      worker.start();
      await using subscriber = new Subscriber<string>(redis);
      await subscriber.subscribe("news");
      await new Publisher(redis).publish("news", "sealed");
      await reliable.enqueue("sealed");
      await eventually(() => assertEquals(handled, ["sealed"]));
      await eventually(() => assertEquals(subscriber.take()?.payload, "sealed"));
      await server.kill();
      await server.restart();
      await reliable.enqueue("again");
      await eventually(() => assertEquals(handled, ["sealed", "again"]), 10_000);
      await worker.stop();
      await subscriber.close();
      await queue.close();
      await redis.close();

      const wrong: [TlsOptions, string][] = [
        [{ ...await tls(ours), ca: await Deno.readTextFile(other.ca) }, "self-signed certificate"],
        [await clientOnly(ours), "self-signed certificate"], // an authority that nobody knows
        [{ ...await tls(ours), servername: "redis.example.com" }, "redis.example.com"],
      ];
      for (const [options, message] of wrong) {
        const error = await refused(server.url, options, message);
        assert(error.fatal, "no waiting mends a certificate");
      }

      await refused(server.url.replace("rediss:", "redis:"), undefined, "expects TLS (rediss://)");
      await using plain = await RedisServer.start();
      const secure = plain.url.replace("redis:", "rediss:");
      await refused(secure, await tls(ours), "without TLS (redis://)");
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  },
});

async function refused(url: string, tls: TlsOptions | undefined, message: string) {
  const startedAt = performance.now();
  const connecting = connect({ url, tls, timeoutMs: 1_500 });
  const error = await assertRejects(() => connecting, RedisConnectionError, message);
  assertLess(performance.now() - startedAt, error.fatal ? 1_400 : 3_000);
  return error;
}

async function tls({ ca, ...files }: Certificates): Promise<TlsOptions> {
  return { ca: await Deno.readTextFile(ca), ...await clientOnly({ ca, ...files }) };
}

async function clientOnly({ cert, key }: Certificates): Promise<TlsOptions> {
  return { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) };
}
