/**
 * The stage: a step of the workshop that is played with by keys. Its processes print into one terminal,
 * each with its name; a line at the bottom says what the keys do; before and after each key there is a
 * picture of what is in Redis. It ends with `q` or Ctrl-C, in good order and with the scoreboard; a
 * second Ctrl-C kills what is left.
 *
 * @module
 */
// deno-lint-ignore-file no-console -- a program prints

import { connect, type ConnectedClient } from "@workshop/redis-patterns";
import type { Example } from "./example.ts";
import { type Interrupts, named, paint, type Stage, type Style } from "./example_stage.ts";
import { fit } from "./example_stage.ts";
import { programsOf } from "./example_flags.ts";
import { type Actor, Cast } from "./ex_cast.ts";
import { picture } from "./picture.ts";
import { type Declared, declaredIn } from "./watch/declared.ts";
import { look } from "./watch/look.ts";
import { openWatch } from "./watch/server.ts";

const KEYS = "p +10 · w worker · k kill -9 · t TERM · f freeze · r Redis · a again · q quit";
const STYLES: Style[] = ["cyan", "magenta", "green", "blue", "yellow"];
/** How long after a key the picture is taken: what it has set off is under way. */
const SETTLE_MS = 600;
const NAME_WIDTH = 11;

/** How to play. */
export interface LiveOptions {
  stage: Stage;
  interrupts: Interrupts;
  /** Arguments for each program of the example. */
  extra: string[][];
  colours: boolean;
}

/** Plays the example until it is quit; the exit code is 0 unless something of ours fails. */
export async function playLive(example: Example, options: LiveOptions): Promise<number> {
  const code = (await programsOf(example)).flatMap(({ code }) => code);
  await using live = await Live.open(example, { ...options, declared: declaredIn(code) });
  await live.play(example);
  return 0;
}

class Live implements AsyncDisposable {
  readonly #options: LiveOptions & { declared: Declared };
  readonly #cast: Cast;
  readonly #redis: ConnectedClient;
  readonly #footer = new Footer();
  readonly #done = { killed: 0, terminated: 0, frozen: 0, restarted: 0 };
  #watch: { url: string; close(): Promise<void> } | undefined;

  private constructor(
    cast: Cast,
    redis: ConnectedClient,
    options: LiveOptions & { declared: Declared },
  ) {
    this.#cast = cast;
    this.#redis = redis;
    this.#options = options;
  }

  static async open(
    example: Example,
    options: LiveOptions & { declared: Declared },
  ): Promise<Live> {
    const { stage, colours } = options;
    const redis = await connect({ url: stage.url, name: "stage" });
    const cast = await Cast.open(example, {
      url: stage.url,
      port: stage.restart && Number(new URL(stage.url).port),
      colours,
      onLine: (actor, line) => live.#said(actor, line),
      onEnd: (actor, how) => live.#ended(actor, how),
    });
    const live = new Live(cast, redis, options);
    return live;
  }

  async play(example: Example): Promise<void> {
    const { declared, extra, interrupts, stage } = this.#options;
    const keys = new Keys(interrupts.signal);
    try {
      if (stage.restart) { // a page that listens to a server of others would slow that down
        this.#watch = openWatch({
          url: stage.url,
          title: example.title,
          declared,
          nameOf: (who) => this.#cast.nameOf(who),
        });
        this.#footer.print(
          paint("dim", `The same as a picture in a browser: ${this.#watch.url}\n`),
        );
      }
      this.#footer.say(KEYS);
      interrupts.killSignal.addEventListener("abort", () => this.#cast.kill());
      await this.#draw("before");
      await this.#cast.begin(extra);
      for await (const key of keys) {
        if (key === "q") break;
        await this.#act(key);
      }
    } finally {
      keys.close();
    }
  }

  async #act(key: string): Promise<void> {
    const act = this.#actions()[key];
    if (!act) return this.#note(`${JSON.stringify(key)} does nothing. ${KEYS}`);
    const said = act();
    if (typeof said === "string") return this.#note(said);
    await this.#draw("before");
    this.#note(said.what);
    await said.run();
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await this.#draw("after");
  }

  /** What each key does; a text says why it does nothing now. */
  #actions(): Record<string, () => string | { what: string; run: () => unknown }> {
    const [cast, done] = [this.#cast, this.#done];
    const newest = cast.workers.at(-1);
    const about = ({ name, process }: Actor) => `${name} (pid ${process.pid})`;
    const signal = (name: Deno.Signal, count: "killed" | "terminated") => () => {
      if (!newest) return "Nobody works: w adds a worker";
      const run = () => {
        done[count]++;
        newest.process.signal(name);
      };
      return { what: `${name === "SIGKILL" ? "kill -9" : "SIGTERM to"} ${about(newest)}`, run };
    };
    return {
      p: () => {
        if (!cast.hasProducer) return "This step has no producer of its own";
        return { what: "10 more", run: () => cast.produce(10).process.spoke };
      },
      w: () => ({ what: "one more worker", run: () => cast.work().process.spoke }),
      k: signal("SIGKILL", "killed"),
      t: signal("SIGTERM", "terminated"),
      f: () => {
        const frozen = cast.workers.find(({ isFrozen }) => isFrozen);
        const actor = frozen ?? newest;
        if (!actor) return "Nobody works: w adds a worker";
        const run = () => {
          if (!frozen) done.frozen++;
          cast.freeze(actor, !frozen);
        };
        return {
          what: `${frozen ? "SIGCONT: goes on," : "SIGSTOP: frozen,"} ${about(actor)}`,
          run,
        };
      },
      a: () => {
        if (cast.alive.length > 0) return "It is played again when all have gone";
        return { what: "all of it again", run: () => cast.begin(this.#options.extra) };
      },
      r: () => {
        const { restart } = this.#options.stage;
        if (!restart) return "This Redis is not ours to restart";
        const run = async () => {
          await restart();
          done.restarted++;
          this.#note("Redis is back, with what it had on disk");
        };
        return { what: "kill -9 to Redis, and start it again", run };
      },
    };
  }

  async #draw(when: "before" | "after" | "left in Redis"): Promise<void> {
    const width = Math.min(this.#footer.width, 140);
    const seen = await look(this.#redis, this.#options.declared).catch((error: Error) => error);
    const lines = seen instanceof Error
      ? [`Redis does not answer: ${seen.message}`]
      : picture(seen, width - 2, ({ pid }) => this.#cast.nameOf({ pid }));
    const rule = paint("dim", `┌ ${when} `.padEnd(Math.min(width, 60), "─"));
    this.#footer.print([rule, ...lines.map((line) => `${paint("dim", "│")} ${line}`)].join("\n"));
  }

  #said(actor: Actor, line: string): void {
    const style = STYLES[this.#cast.actors.indexOf(actor) % STYLES.length] ?? "cyan";
    this.#footer.print(named(paint(style, `${actor.name.padEnd(NAME_WIDTH)} │`), line));
  }

  #ended(actor: Actor, how: string): void {
    this.#note(`${actor.name} ${how}`);
    if (this.#cast.alive.length > 0) return;
    this.#note("Nobody is left on the stage: a plays it again, q for the scoreboard");
  }

  #note(text: string): void {
    this.#footer.print(paint("bold", `• ${text}`));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#footer.say("");
    await this.#cast.end();
    await this.#draw("left in Redis");
    await this.#watch?.close();
    this.#redis.destroy();
    this.#scoreboard();
  }

  #scoreboard(): void {
    const { messages = 0, commands = 0, p50Ms = 0 } = this.#cast.score() ?? {};
    const score = `messages ${messages}  commands ${commands}  wait p50 ${p50Ms.toFixed(1)} ms`;
    const { killed, terminated, frozen, restarted } = this.#done;
    const producers = this.#cast.actors.filter(({ isProducer }) => isProducer).length;
    const workers = this.#cast.actors.length - producers;
    console.log(`\n${paint("yellow", "[score]")}  ${score}`);
    console.log(
      `${paint("yellow", "[stage]")}  producers ${producers}  workers ${workers}  ` +
        `kill -9 ${killed}  of Redis ${restarted}  SIGTERM ${terminated}  frozen ${frozen}`,
    );
    if (killed > 0) console.log(paint("dim", "Who was killed has told nobody its score."));
  }
}

/** A line at the bottom of the screen that what is printed goes above. */
class Footer {
  #text = "";

  /** The columns there are. */
  get width(): number {
    return Deno.consoleSize().columns;
  }

  /** Puts another text there; empty takes it away. */
  say(text: string): void {
    this.#text = text;
    this.#write("");
  }

  /** Prints above it. */
  print(text: string): void {
    this.#write(`${text}\n`);
  }

  #write(text: string): void {
    // A line that wrapped could not be taken back, so it is cut.
    const footer = this.#text && paint("inverse", fit(` ${this.#text}`, this.width - 1));
    const bytes = new TextEncoder().encode(`\r\x1b[2K${text}${footer}`);
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  }
}

/** The keys that are pressed, one by one, until the signal. The terminal is as before afterwards. */
class Keys implements AsyncIterable<string> {
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    Deno.stdin.setRaw(true, { cbreak: true }); // Ctrl-C stays what it is
  }

  async *[Symbol.asyncIterator](): AsyncIterator<string> {
    const stopped = new Promise<undefined>((resolve) => {
      if (this.#signal.aborted) resolve(undefined);
      this.#signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
    const bytes = new Uint8Array(64);
    for (;;) {
      const count = await Promise.race([Deno.stdin.read(bytes), stopped]);
      if (!count) return; // Ctrl-C, or the terminal is gone
      const text = new TextDecoder().decode(bytes.subarray(0, count));
      if (text.startsWith("\x1b")) continue; // an arrow or the like
      yield* text;
    }
  }

  close(): void {
    Deno.stdin.setRaw(false);
  }
}
