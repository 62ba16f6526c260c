/**
 * A TCP proxy between a client and a Redis server, for faults that a real network has and loopback
 * has not: cut, half-open, slow and refused connections, and replies that get lost after the command
 * ran. It understands just enough RESP to know where a request or a reply ends, so a fault hits
 * exactly the reply it was meant for, however the bytes were packed.
 *
 * A connection ends when either side closes it, by {@linkcode FaultyProxy.cut}, by a dropped reply,
 * or with the proxy.
 *
 * @module
 */

/** Says whether the reply to this request is lost; both as text, in RESP, bytes as Latin-1. */
export type ReplyPredicate = (request: string, reply: string) => boolean;

/** The pending order of {@linkcode FaultyProxy.dropReplies}. */
interface Drop {
  matches: ReplyPredicate;
  left: number;
  victims: Set<Link>;
  done: () => void;
}

/** A TCP proxy with faults at the flick of a switch. */
export class FaultyProxy implements AsyncDisposable {
  /** The port the proxy listens on. */
  readonly port: number;
  /** `redis://` address of the proxy. */
  readonly url: string;
  /** Connections accepted so far, refused ones included. */
  connections = 0;
  /** Whole requests seen so far; one command is one request, pipelined or not. */
  requests = 0;

  #listener: Deno.TcpListener;
  #upstream: Deno.ConnectOptions;
  #links = new Set<Link>();
  #running = new Set<Promise<void>>();
  #refusing = false;
  #holed = false;
  #delayMs = 0;
  #drop: Drop | undefined;

  private constructor(upstream: Deno.ConnectOptions) {
    this.#upstream = upstream;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.url = `redis://127.0.0.1:${this.port}`;
    this.#track(this.#accept());
  }

  /** Starts a proxy on a free port of 127.0.0.1 in front of the server at `port`. */
  static start(
    { port, hostname = "127.0.0.1" }: { port: number; hostname?: string },
  ): Promise<FaultyProxy> {
    return Promise.resolve(new FaultyProxy({ hostname, port }));
  }

  /** Closes all connections now; new ones are accepted. */
  cut(): void {
    for (const link of this.#links) link.close();
  }

  /**
   * Swallows the bytes of both directions while connections stay open and new ones are accepted:
   * a server that is gone without a word.
   *
   * A connection that lost bytes never recovers, even after `blackHole(false)`: TCP delivers the
   * bytes or ends, and passing on the rest of the stream would invent a fault no network has.
   */
  blackHole(on: boolean): void {
    this.#holed = on;
  }

  /** Closes new connections as soon as they are accepted. */
  refuse(on: boolean): void {
    this.#refusing = on;
  }

  /** Hands on every reply `ms` later; pipelined replies are delayed together, not in turn. */
  delay(ms: number): void {
    this.#delayMs = ms;
  }

  /**
   * Loses replies: the commands run, their replies are swallowed, and then the connections that
   * lost one are cut. A number means that many consecutive replies, beginning, with `after`, at the
   * reply to the first request that matches; a predicate means the first reply it returns true for.
   * A new order replaces one that is not finished; pushed messages of RESP3 are not replies.
   *
   * @returns a promise that resolves when the last of them was lost.
   */
  dropReplies(
    which: number | ReplyPredicate,
    { after }: { after?: RegExp } = {},
  ): Promise<void> {
    const { promise, resolve: done } = Promise.withResolvers<void>();
    let armed = after === undefined;
    const matches: ReplyPredicate = (request, reply) => {
      // search() and not test(): a regex with the flag g would remember where it stopped.
      armed ||= request.search(after!) >= 0;
      return armed && (typeof which === "number" || which(request, reply));
    };
    const left = typeof which === "number" ? which : 1;
    if (!(Number.isInteger(left) && left > 0)) {
      throw new RangeError(`Cannot drop ${left} replies: must be a positive integer`);
    }
    this.#drop = { matches, left, victims: new Set(), done };
    return promise;
  }

  /** Stops listening, closes all connections and waits until nothing is left of them. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.cut();
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      this.connections++;
      if (this.#refusing) client.close();
      else this.#track(this.#serve(client));
    }
  }

  async #serve(client: Deno.TcpConn): Promise<void> {
    const link = new Link(client);
    this.#links.add(link);
    // Whoever closes, the other direction's read or write fails: that is how a link ends. A server
    // that is not there hangs up on the client; in a black hole its goodbye is lost like the rest.
    const end = (error?: unknown) => {
      if (error !== undefined && !isDisconnect(error)) throw error;
      if (!link.holed) link.close();
    };
    try {
      await link.connect(this.#upstream);
      const replies = this.#forwardReplies(link).then(end, end);
      await this.#forwardRequests(link).catch(end);
      link.close();
      await replies;
    } catch (error) {
      end(error);
    } finally {
      link.close();
      this.#links.delete(link);
    }
  }

  async #forwardRequests(link: Link): Promise<void> {
    const framer = new Framer();
    for await (const chunk of chunksOf(link.client)) {
      for (const request of framer.push(chunk)) {
        this.requests++;
        if (expectsReply(request)) link.unanswered.push(request);
      }
      link.holed ||= this.#holed;
      if (!link.holed) await writeAll(link.server, chunk);
    }
  }

  async #forwardReplies(link: Link): Promise<void> {
    const framer = new Framer();
    for await (const chunk of chunksOf(link.server)) {
      link.holed ||= this.#holed;
      if (link.holed) continue;
      const replies = framer.push(chunk).filter((reply) => !this.#loses(link, reply));
      link.send(replies, this.#delayMs);
      // Without a delay, a slow client slows the server down, as it would without us.
      if (this.#delayMs === 0 || link.losing) await link.sent;
      this.#finishDrop();
    }
    await link.sent;
  }

  /** Whether this reply is swallowed by the pending order. */
  #loses(link: Link, reply: Uint8Array): boolean {
    if (reply[0] === PUSH) return false;
    const request = link.unanswered.shift();
    const drop = this.#drop;
    if (link.losing) return true;
    if (!drop || drop.left === 0 || !drop.matches(text(request), text(reply))) return false;
    drop.left--;
    drop.victims.add(link);
    link.losing = drop.left === 0;
    return true;
  }

  #finishDrop(): void {
    const drop = this.#drop;
    if (!drop || drop.left > 0) return;
    this.#drop = undefined;
    for (const link of drop.victims) link.close();
    drop.done();
  }

  #track(task: Promise<void>): void {
    const tracked = task.finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }
}

/** One client connection and its counterpart to the server. */
class Link {
  /** Requests whose replies are still to come, oldest first. */
  readonly unanswered: Uint8Array[] = [];
  /** Bytes were swallowed, so nothing may follow. */
  holed = false;
  /** The last reply to drop was dropped: what follows it is lost with the connection. */
  losing = false;
  /** Settles when everything handed to {@linkcode send} is written. */
  sent: Promise<void> = Promise.resolve();

  #closed = new AbortController();
  #server: Deno.Conn | undefined;

  constructor(readonly client: Deno.Conn) {}

  get server(): Deno.Conn {
    if (!this.#server) throw new Deno.errors.NotConnected("Not connected to the server yet");
    return this.#server;
  }

  async connect(upstream: Deno.ConnectOptions): Promise<void> {
    this.#server = await Deno.connect(upstream);
    // The link may have been cut meanwhile, when there was no server side to close.
    if (this.#closed.signal.aborted) this.#server.close();
  }

  send(replies: Uint8Array[], delayMs: number): void {
    const due = Date.now() + delayMs;
    this.sent = this.sent.then(async () => {
      await sleep(due - Date.now(), this.#closed.signal);
      if (!this.#closed.signal.aborted) await writeAll(this.client, join(replies));
    }).catch((error) => {
      if (!isDisconnect(error)) throw error;
      this.close();
    });
  }

  close(): void {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    this.client.close();
    this.#server?.close();
  }
}

const LF = 0x0a;
const [BULK, VERBATIM, BLOB_ERROR, ARRAY, SET, PUSH, MAP] = new TextEncoder().encode("$=!*~>%");
const latin1 = new TextDecoder("latin1");

/** Cuts a stream of bytes into whole RESP values; an inline command is a value of one line. */
class Framer {
  #rest: Uint8Array = new Uint8Array();

  push(chunk: Uint8Array): Uint8Array[] {
    const bytes = join([this.#rest, chunk]);
    const values: Uint8Array[] = [];
    let start = 0;
    for (let end = endOfValue(bytes, 0); end !== undefined; end = endOfValue(bytes, start)) {
      values.push(bytes.subarray(start, end));
      start = end;
    }
    this.#rest = bytes.subarray(start);
    return values;
  }
}

/** Where the value that begins at `start` ends; undefined if it is not all there. */
function endOfValue(bytes: Uint8Array, start: number): number | undefined {
  let at = start;
  // Aggregates add their items to what is missing, so nesting needs no recursion.
  for (let missing = 1; missing > 0; missing--) {
    const lineEnd = bytes.indexOf(LF, at);
    if (lineEnd === -1) return undefined;
    const type = bytes[at];
    const size = Number(latin1.decode(bytes.subarray(at + 1, lineEnd)));
    at = lineEnd + 1;
    // A size of −1 is a null of RESP2: nothing follows.
    if (type === BULK || type === VERBATIM || type === BLOB_ERROR) at += size < 0 ? 0 : size + 2;
    if (type === ARRAY || type === SET || type === PUSH) missing += Math.max(size, 0);
    if (type === MAP) missing += 2 * size;
    if (at > bytes.length) return undefined;
  }
  return at;
}

/** Subscribing is answered by pushes, not by a reply. */
function expectsReply(request: Uint8Array): boolean {
  return !/^\*\d+\r\n\$\d+\r\n[ps]?(un)?subscribe\r\n/i.test(text(request.subarray(0, 40)));
}

function text(bytes: Uint8Array = new Uint8Array()): string {
  return latin1.decode(bytes);
}

async function* chunksOf(conn: Deno.Conn): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(64 * 1024);
  for (let size = await conn.read(buffer); size !== null; size = await conn.read(buffer)) {
    yield buffer.slice(0, size);
  }
}

function join(parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** The ways in which a connection says that it is over, here or at the other end. */
function isDisconnect(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionRefused || error instanceof Deno.errors.NotConnected ||
    error instanceof Deno.errors.ConnectionAborted;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal.addEventListener("abort", wake);
  });
}
