/**
 * The watch page's server: it listens to MONITOR while somebody has the page open, looks at the declared
 * keys when something happened, and sends what is new. What comes within 60 ms is one event, and no event
 * comes before the motion of the last one is over. It ends with `close()`; a Redis that is away is waited
 * for.
 *
 * @module
 */
import { type Context, Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import { connect, type ConnectedClient, type ConnectionEvent } from "@workshop/redis-patterns";
import { asset, assetUrl } from "./assets.ts";
import { Board, MOUTH_MS, type NameOf, type Scene } from "./board.ts";
import type { Declared } from "./declared.ts";
import { type Look, look, LOOK_SCRIPT } from "./look.ts";
import { documentOf, type Frame, frameOf } from "./page.tsx";
import { parseLine } from "./wire.ts";

/** What to watch. */
export interface WatchOptions {
  /** The server's URL. */
  url: string;
  declared: Declared;
  /** What stands above the picture. */
  title?: string;
  /** Port of the page; 0 for any. @default {8090, or any if it is taken} */
  port?: number;
  /** Names of clients, where somebody knows them. */
  nameOf?: NameOf;
  /** Watch a server that is not on this machine. @default {false} */
  allowRemote?: boolean;
}

/** A page that is served. */
export interface Watch {
  /** Where it is. */
  url: string;
  close(): Promise<void>;
}

const LOOPBACK = new Set(["localhost", "127.0.0.1", "[::1]", "::1"]);
/** What happens within this time is one event. */
const GATHER_MS = 60;
/** The motion takes 320 ms (see the stylesheet), and the browser some time around it. */
const MOTION_MS = 400;
const DENSE_MS = 250;
/** Leases run out and times come without anybody saying a word. */
const TICK_MS = 1_000;

const CLOSE_MS = 2_000;

/** Nothing but what this server sends itself; the places of cards are attributes. */
const POLICY = {
  defaultSrc: ["'none'"],
  scriptSrc: ["'self'"],
  styleSrc: ["'self'"],
  styleSrcAttr: ["'unsafe-inline'"],
  imgSrc: ["'self'"],
  fontSrc: ["'self'"],
  connectSrc: ["'self'"],
  formAction: ["'none'"],
  baseUri: ["'none'"],
  frameAncestors: ["'none'"],
};

/**
 * Serves the page on 127.0.0.1.
 *
 * @throws {RangeError} if the server is not on this machine and `allowRemote` was not given
 */
export function openWatch(options: WatchOptions): Watch {
  const { url, title = "Watch", allowRemote = false } = options;
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) {
    // Not repeated: there may be a password in it.
    throw new TypeError(
      "The URL of the Redis to watch must be redis://host:port, and of one server",
    );
  }
  const { hostname, host } = new URL(url);
  if (!allowRemote && !LOOPBACK.has(hostname)) {
    throw new RangeError(
      `${host} is not this machine, and MONITOR halves what a Redis can do. ` +
        `If it is yours and nobody depends on it: --allow-remote`,
    );
  }
  const watcher = new Watcher(options);
  const app = new Hono();
  app.use(secureHeaders({ contentSecurityPolicy: POLICY, strictTransportSecurity: false }));
  app.use((c, next) => isForUs(c) ? next() : Promise.resolve(c.text("Not this server", 421)));
  app.get("/assets/:version/:name", async (c) => await asset(c.req.param("name")) ?? c.notFound());
  app.get("/", async (c) => {
    const scene = await watcher.glance();
    return c.html(await documentOf(scene, { title, address: host }, assetUrl));
  });
  app.get("/live", () => watcher.stream());
  const server = serve(options.port, app.fetch);
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    close: async () => {
      await watcher.close();
      await within(CLOSE_MS, server.shutdown()); // a page that never reads its answer holds up nobody
    },
  };
}

/** A page elsewhere could let a name of its own point here (DNS rebinding), and read along. */
function isForUs(c: Context): boolean {
  const host = c.req.header("host") ?? "";
  return LOOPBACK.has(host.replace(/:\d+$/, "").toLowerCase());
}

const USUAL_PORT = 8090;

function serve(
  port: number | undefined,
  handler: (request: Request) => Response | Promise<Response>,
) {
  const options = { hostname: "127.0.0.1", onListen: () => {} };
  try {
    return Deno.serve({ ...options, port: port ?? USUAL_PORT }, handler);
  } catch (error) {
    if (port !== undefined || !(error instanceof Deno.errors.AddrInUse)) throw error;
    return Deno.serve({ ...options, port: 0 }, handler);
  }
}

/** A pair of connections: one that listens, one that looks. */
interface Ears {
  monitor: ConnectedClient;
  eye: ConnectedClient;
  /** Addresses of these two: what they do is not part of the picture. */
  own: Set<string>;
}

class Watcher {
  readonly #options: WatchOptions;
  #board: Board;
  readonly #viewers = new Set<Viewer>();
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #last: Frame | undefined;
  #isOwnScript = false;
  /** Something happened since the last look. */
  #news = Promise.withResolvers<void>();
  /** Marks of looks to the commands that wait for the look's answer. */
  #mark = 0;
  #gate:
    | { mark: string; heard: PromiseWithResolvers<void>; isShut: boolean; behind: string[] }
    | undefined;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#board = new Board(options.declared, options.nameOf);
  }

  /** The scene now, for a page that is opened: without MONITOR if nobody listens yet. */
  async glance(): Promise<Scene> {
    if (this.#viewers.size === 0) {
      const redis = await connect({ url: this.#options.url, heartbeatMs: 0 });
      try {
        this.#board.see(await look(redis, this.#options.declared));
      } finally {
        redis.destroy();
      }
    }
    return this.#board.scene(performance.now());
  }

  /** Events for one page. */
  stream(): Response {
    const viewer = new Viewer(() => {
      this.#viewers.delete(viewer);
      this.#news.resolve(); // the loop ends if this was the last one
    });
    this.#viewers.add(viewer);
    if (this.#last) viewer.show(this.#last.event);
    this.#running ??= this.#run().finally(() => this.#running = undefined);
    return new Response(viewer.body, {
      headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
    });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    for (const viewer of this.#viewers) viewer.end();
    this.#news.resolve();
    await this.#running;
  }

  get #isOn(): boolean {
    return this.#viewers.size > 0 && !this.#closing.signal.aborted;
  }

  async #run(): Promise<void> {
    while (this.#isOn) {
      try {
        await this.#watch();
      } catch {
        await pause(TICK_MS); // Redis is away: the picture stands still until it is back
      }
    }
  }

  /** Listens until nobody looks any more, or the connection is lost. */
  async #watch(): Promise<void> {
    const { url } = this.#options;
    const lost = new AbortController();
    const onEvent = ({ type }: ConnectionEvent) => type === "lost" && lost.abort();
    await using stack = new AsyncDisposableStack();
    const options = { url, heartbeatMs: 0, name: "watch", onEvent };
    const [monitor, eye] = await Promise.all([connect(options), connect(options)]);
    stack.defer(() => (monitor.destroy(), eye.destroy()));
    const own = new Set(
      await Promise.all([monitor, eye].map(async (client) => {
        return /\baddr=(\S+)/.exec(String(await client.sendCommand(["CLIENT", "INFO"])))![1]!;
      })),
    );
    await monitor.monitor((line) => this.#hear(String(line), own));
    const ears = { monitor, eye, own };
    while (this.#isOn && !lost.signal.aborted) {
      const scene = await this.#look(ears);
      await this.#show(scene);
      const at = performance.now();
      const gap = scene.isDense ? DENSE_MS : MOTION_MS;
      await within(this.#board.isRestless ? MOUTH_MS : TICK_MS, this.#news.promise);
      this.#news = Promise.withResolvers();
      await pause(Math.max(GATHER_MS, gap - (performance.now() - at)));
    }
  }

  #hear(line: string, own: Set<string>): void {
    const gate = this.#gate;
    if (gate?.isShut) { // these came after the look whose answer is not here yet
      gate.behind.push(line);
      return;
    }
    const sent = parseLine(line);
    if (!sent) return;
    if (sent.from !== undefined && own.has(sent.from)) {
      this.#isOwnScript = true;
      if (gate && sent.args.includes(gate.mark)) {
        gate.isShut = true;
        gate.heard.resolve();
      }
      return;
    }
    // What a script of ours does inside the server follows its line. The stage looks, too.
    if (sent.from === undefined && this.#isOwnScript) return;
    this.#isOwnScript = sent.args[1] === LOOK_SCRIPT;
    if (this.#isOwnScript) return;
    this.#board.hear(sent, performance.now());
    this.#news.resolve();
  }

  /** One look, put between the commands where it was taken. */
  async #look({ eye, own }: Ears): Promise<Scene> {
    const mark = `look:${++this.#mark}`;
    this.#gate = { mark, heard: Promise.withResolvers(), isShut: false, behind: [] };
    const gate = this.#gate;
    try {
      const seen: Look = await look(eye, this.#options.declared, mark);
      await within(TICK_MS, gate.heard.promise);
      this.#board.see(seen);
    } finally {
      this.#gate = undefined;
      for (const line of gate.behind) this.#hear(line, own);
    }
    const clients = String(await eye.sendCommand(["CLIENT", "LIST"]));
    const addresses = new Set([...clients.matchAll(/\baddr=(\S+)/g)].map(([, addr]) => addr!));
    this.#board.present(addresses, performance.now());
    return this.#board.scene(performance.now());
  }

  async #show(scene: Scene): Promise<void> {
    const frame = await frameOf(scene, this.#last?.places);
    if (frame.picture === this.#last?.picture) return;
    this.#last = frame;
    for (const viewer of this.#viewers) viewer.show(frame.event);
  }
}

/** One page that is open. A page that does not keep up gets the newest, and misses what was between. */
class Viewer {
  readonly body: ReadableStream<Uint8Array>;
  readonly #onEnd: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #newest: string | undefined;
  #wanted = Promise.withResolvers<void>();

  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
    this.body = new ReadableStream({
      start: (controller) => void (this.#controller = controller),
      pull: async (controller) => {
        await this.#wanted.promise;
        if (!this.#controller) return;
        this.#wanted = Promise.withResolvers();
        const lines = this.#newest!.split("\n").map((line) => `data: ${line}\n`).join("");
        controller.enqueue(new TextEncoder().encode(`${lines}\n`));
      },
      cancel: () => {
        this.#controller = undefined; // closed by the page
        this.#wanted.resolve();
        this.#onEnd();
      },
    }, { highWaterMark: 0 });
  }

  show(event: string): void {
    this.#newest = event;
    this.#wanted.resolve();
  }

  /** Ends it, also for a page that does not read. */
  end(): void {
    const controller = this.#controller;
    if (!controller) return;
    this.#controller = undefined;
    this.#wanted.resolve();
    controller.close();
    this.#onEnd();
  }
}

/** Waits for something, but not for ever. */
async function within(ms: number, promise: Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<void>((resolve) => timer = setTimeout(resolve, ms));
  await Promise.race([promise, late]);
  clearTimeout(timer);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
