/**
 * A peer in a process of its own, in Deno or in Node, so that none pays for the heap or the timers
 * of another. It ends when it is disposed, when an order takes too long, or with us.
 *
 * @module
 */
import { type Answer, ANSWER_MARK, type Introduction, type Order } from "./peer.ts";
import type { Runtime } from "./runtimes.ts";

const START_MS = 120_000; // the first start downloads packages
const ORDER_MS = 60_000;
/** The slowest that is still waited for: 1,000 messages a second. */
const MESSAGE_MS = 1;

/** A peer that is told what to do. */
export class PeerProcess implements AsyncDisposable {
  /** What the peer said about itself. */
  introduction: Introduction = { label: "", enqueue: [], drain: [], probe: [] };
  /** Where it runs, such as "Deno 2.9.6". */
  readonly runtime: string;
  readonly #child: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: AsyncGenerator<Answer>;
  #killed = false;

  private constructor(runtime: Runtime, args: string[]) {
    const [command, ...flags] = runtime.command;
    this.runtime = runtime.name;
    this.#child = new Deno.Command(command!, {
      args: [...flags, ...args],
      cwd: runtime.cwd,
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#orders = this.#child.stdin.getWriter();
    this.#answers = answersIn(this.#child.stdout);
  }

  /** Starts `peers/<module>.ts` and waits until it is connected. */
  static async start(
    runtime: Runtime,
    { module, url, name }: { module: string; url: string; name: string },
  ): Promise<PeerProcess> {
    const peer = new PeerProcess(runtime, [module, url, name]);
    try {
      peer.introduction = await peer.#answer(START_MS) as Introduction;
      return peer;
    } catch (error) {
      await peer.#kill();
      throw new Error(`Cannot start ${module} in ${runtime.name}`, {
        cause: error,
      });
    }
  }

  /** Has the peer do something; returns what its member returned. */
  async order(order: Order): Promise<unknown> {
    try {
      await this.#orders.write(
        new TextEncoder().encode(JSON.stringify(order) + "\n"),
      );
      return await this.#answer(
        ORDER_MS + (order.work?.count ?? 0) * MESSAGE_MS,
      );
    } catch (error) {
      await this.#kill();
      const { label } = this.introduction;
      throw new Error(`${label} in ${this.runtime} failed to ${order.verb}`, {
        cause: error,
      });
    }
  }

  /** Lets the peer remove its keys and close its connections, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#killed) return;
    try {
      await this.order({ verb: "empty" });
      await this.order({ verb: "close" });
    } finally {
      await this.#kill();
    }
  }

  async #answer(ms: number): Promise<unknown> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`No answer within ${ms} ms`)),
        ms,
      );
    });
    try {
      const { value, done } = await Promise.race([this.#answers.next(), late]);
      if (done) {
        throw new Error("The process ended; see above for what it said");
      }
      if ("error" in value) throw new Error(value.error);
      return value.result;
    } finally {
      clearTimeout(timer);
    }
  }

  async #kill(): Promise<void> {
    this.#killed = true;
    try {
      this.#child.kill("SIGKILL");
    } catch { /* it has ended by itself */ }
    await this.#child.status;
  }
}

async function* answersIn(
  output: ReadableStream<Uint8Array>,
): AsyncGenerator<Answer> {
  let rest = "";
  for await (const text of output.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (line.startsWith(ANSWER_MARK)) {
        yield JSON.parse(line.slice(ANSWER_MARK.length));
      }
    }
  }
}
