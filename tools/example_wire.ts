/**
 * Who sends what: a private server behind one door per process. Each process gets a port of its own
 * that leads to the server, so each line of MONITOR, which names a client's address and nothing
 * else, can be told to be of one process. A door ends with {@linkcode Door.close}; the ear with
 * {@linkcode Ear.close}.
 *
 * @module
 */

/** Sent by every client of `npm:redis`, whatever the program does; not part of any lesson. */
const HOUSEKEEPING = [
  "HELLO",
  "CLIENT",
  "PING",
  "AUTH",
  "SELECT",
  "INFO",
  "ECHO",
  "COMMAND",
  "QUIT",
  "RESET",
];

/** A port that leads to the server. */
export class Door {
  /** The port of 127.0.0.1 to connect to. */
  readonly port: number;
  /** The ports by which the server knows those who came through. */
  readonly guests: Set<number> = new Set();
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Deno.TcpConn>();
  readonly #running = new Set<Promise<void>>();
  readonly #to: number;

  /** Opens a door to the server at port `to` of 127.0.0.1. */
  constructor(to: number) {
    this.#to = to;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.#run(this.#accept());
  }

  /** The URL to connect to. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Closes the door and every connection through it. */
  async close(): Promise<void> {
    this.#listener.close();
    for (const conn of this.#open) closeQuietly(conn);
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  async #accept(): Promise<void> {
    try {
      for await (const outer of this.#listener) this.#run(this.#join(outer));
    } catch { /* the listener was closed: the way out of this loop */ }
  }

  async #join(outer: Deno.TcpConn): Promise<void> {
    const inner = await Deno.connect({ hostname: "127.0.0.1", port: this.#to }).catch(() => null);
    if (!inner) return closeQuietly(outer); // the server is away: so is what is behind the door
    this.guests.add((inner.localAddr as Deno.NetAddr).port);
    this.#open.add(outer).add(inner);
    await Promise.all([pump(outer, inner), pump(inner, outer)]);
    this.#open.delete(outer);
    this.#open.delete(inner);
  }

  #run(task: Promise<void>): void {
    this.#running.add(task);
    void task.finally(() => this.#running.delete(task));
  }
}

/** Copies until one side is gone, then closes both: a half-open Redis connection is of no use. */
async function pump(from: Deno.TcpConn, to: Deno.TcpConn): Promise<void> {
  await from.readable.pipeTo(to.writable).catch(() => {});
  closeQuietly(from);
  closeQuietly(to);
}

function closeQuietly(conn: Deno.TcpConn): void {
  try {
    conn.close();
  } catch { /* the other direction was first */ }
}

/** One command, as MONITOR shows it. */
export interface Heard {
  /** The port that its client has, as the server sees it; undefined inside a script. */
  port: number | undefined;
  /** The command, in capitals, and its arguments; what is not printable stays escaped. */
  words: string[];
}

/** Listens to MONITOR. */
export class Ear {
  /** All that was heard so far, in the order in which the server did it. */
  readonly heard: Heard[] = [];
  readonly #conn: Deno.TcpConn;
  readonly #marks = new Map<string, () => void>();
  readonly #listening: Promise<void>;
  readonly #port: number;

  private constructor(conn: Deno.TcpConn, port: number) {
    this.#conn = conn;
    this.#port = port;
    this.#listening = this.#listen();
  }

  /** Starts to listen to the server at `port` of 127.0.0.1. */
  static async open(port: number): Promise<Ear> {
    const conn = await Deno.connect({ hostname: "127.0.0.1", port });
    const ear = new Ear(conn, port);
    await conn.write(new TextEncoder().encode("MONITOR\r\n"));
    await ear.catchUp();
    return ear;
  }

  /** Resolves when all that the server has executed so far was heard. */
  async catchUp(): Promise<void> {
    const mark = crypto.randomUUID();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#marks.set(mark, resolve);
    using conn = await Deno.connect({ hostname: "127.0.0.1", port: this.#port });
    const timer = setInterval(() => say().catch(() => {}), 50); // MONITOR may not be on yet
    const say = async () => void await conn.write(new TextEncoder().encode(`ECHO ${mark}\r\n`));
    try {
      await say();
      await promise;
    } finally {
      clearInterval(timer);
      this.#marks.delete(mark);
    }
  }

  /**
   * The commands that came through `door` so far, sorted; housekeeping is left out unless `lesson`
   * names it, and so is what scripts do inside the server. EVAL counts as EVALSHA: which of the two
   * it is depends on whether the server has seen the script before.
   */
  commandsOf(door: Door, lesson: string[] = []): string[] {
    const names = this.sentBy(door, lesson).map(([command]) => command!);
    return [...new Set(names)].sort();
  }

  /** The same, each as often as it came, in their order and with their arguments. */
  sentBy(door: Door, lesson: string[] = []): string[][] {
    return this.heard
      .filter(({ port }) => port !== undefined && door.guests.has(port))
      .filter(({ words: [name] }) => lesson.includes(name!) || !HOUSEKEEPING.includes(name!))
      .map(({ words: [name, ...rest] }) => [name === "EVAL" ? "EVALSHA" : name!, ...rest]);
  }

  /**
   * The commands of a node of a cluster, sorted: of all who are no nodes themselves, since a cluster has no
   * doors. Asking for its layout is housekeeping there.
   */
  commandsBut(nodes: ReadonlySet<number>): string[] {
    const names = this.heard
      .filter(({ port }) => port !== undefined && !nodes.has(port))
      .map(({ words: [name] }) => name === "EVAL" ? "EVALSHA" : name!)
      .filter((name) => name !== "CLUSTER" && !HOUSEKEEPING.includes(name));
    return [...new Set(names)].sort();
  }

  /** Stops listening. */
  async close(): Promise<void> {
    closeQuietly(this.#conn);
    await this.#listening;
  }

  async #listen(): Promise<void> {
    let rest = "";
    try {
      for await (const text of this.#conn.readable.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + text).split("\r\n");
        rest = lines.pop()!;
        lines.forEach((line) => this.#hear(line));
      }
    } catch { /* closed by us */ }
  }

  /** `+1700000000.000001 [0 127.0.0.1:50000] "LPUSH" "key" …`; in a script, `[0 lua]`. */
  #hear(line: string): void {
    const [, from, rest] = /^\+[\d.]+ \[\d+ ([^\]]*)\] (.*)$/.exec(line) ?? [];
    if (!rest) return;
    const words = [...rest.matchAll(/"((?:[^"\\]|\\.)*)"/g)]
      .map(([, word]) => word!.replace(/\\(["\\])/g, "$1"));
    const [name = "", argument = ""] = words;
    const [, port] = /:(\d+)$/.exec(from!) ?? [];
    this.heard.push({
      port: port ? Number(port) : undefined,
      words: [name.toUpperCase(), ...words.slice(1)],
    });
    if (name === "ECHO") this.#marks.get(argument)?.();
  }
}
