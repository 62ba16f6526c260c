/**
 * The processes on the stage: who there is, how each ended, and what can be done to them from outside.
 * Each talks to Redis through a door of its own, so that it can be told who said what. All end with
 * {@linkcode Cast.end}; when we die without it, they are killed as every example's process is.
 *
 * @module
 */
import { stripVTControlCharacters } from "node:util";
import { readScore, type Score } from "./demo_score.ts";
import { type Example, scriptOf } from "./example.ts";
import { type Program, programsOf, takes } from "./example_flags.ts";
import { ExampleProcess } from "./example_process.ts";
import { Door } from "./example_wire.ts";

/** A process, and what became of it. */
export interface Actor {
  /** `blocking`, `blocking 2`, `producer` … */
  readonly name: string;
  readonly isProducer: boolean;
  readonly process: ExampleProcess;
  /** What it goes through to Redis; undefined with a Redis that is not ours. */
  readonly door: Door | undefined;
  isAlive: boolean;
  isFrozen: boolean;
}

/** How to open a cast. */
export interface CastOptions {
  /** The server's URL. */
  url: string;
  /** Its port, if it is ours: then each process gets a door. */
  port: number | undefined;
  colours: boolean;
  onLine: (actor: Actor, line: string) => void;
  onEnd: (actor: Actor, how: string) => void;
}

/** A worker that is added works until it is stopped. */
const FOR_EVER = "1000000";

/** See the module. */
export class Cast {
  /** All there ever were. */
  readonly actors: Actor[] = [];
  readonly #programs: Program[];
  readonly #options: CastOptions;

  private constructor(programs: Program[], options: CastOptions) {
    this.#programs = programs;
    this.#options = options;
  }

  /** Reads what the example's programs are; starts none. */
  static async open(example: Example, options: CastOptions): Promise<Cast> {
    return new Cast(await programsOf(example), options);
  }

  /** What is under way now. */
  get alive(): Actor[] {
    return this.actors.filter(({ isAlive }) => isAlive);
  }

  /** Workers that are alive, the newest last. */
  get workers(): Actor[] {
    return this.alive.filter(({ isProducer }) => !isProducer);
  }

  /** Whether there is a program that produces. */
  get hasProducer(): boolean {
    return this.#programs.some(isProducer);
  }

  /** The example as its header has it: the worker, then what runs beside it. */
  async begin(extra: string[][]): Promise<void> {
    for (const [i, program] of this.#programs.entries()) {
      const actor = this.#start(program, extra[i] ?? []);
      if (i === 0) await actor.process.spoke;
    }
  }

  /** One more producer, of `count` messages if it can be told. */
  produce(count: number): Actor {
    const program = this.#programs.find(isProducer)!;
    return this.#start(program, takes(program, "count") ? ["--count", `${count}`] : []);
  }

  /** One more worker, which goes on until it is stopped. */
  work(): Actor {
    const program = this.#programs[0]!;
    const name = `${this.actors.filter(({ isProducer }) => !isProducer).length + 1}`;
    return this.#start(program, [
      ...(takes(program, "count") ? ["--count", FOR_EVER] : []),
      ...(takes(program, "name") ? ["--name", name] : []),
    ]);
  }

  /** Freezes a process (SIGSTOP), or lets it go on. */
  freeze(actor: Actor, frozen: boolean): void {
    actor.isFrozen = frozen;
    actor.process.signal(frozen ? "SIGSTOP" : "SIGCONT");
  }

  /** What all of them have printed as their score. */
  score(): Score | undefined {
    return readScore(
      this.actors.flatMap(({ process }) => process.stdout.map(stripVTControlCharacters)),
    );
  }

  /** Who has this process id, or this port at the server; with a cross if it is dead. */
  nameOf({ pid, port }: { pid?: number; port?: number }): string | undefined {
    const actor = this.actors.find(({ process, door }) =>
      process.pid === pid || (port !== undefined && door?.guests.has(port))
    );
    return actor && (actor.isAlive ? actor.name : `${actor.name} ✝`);
  }

  /** Asks all to end as Ctrl-C does, and waits until they have. */
  async end(): Promise<void> {
    await Promise.all(this.alive.map(async (actor) => {
      if (actor.isFrozen) this.freeze(actor, false); // frozen, it could not hear
      await actor.process.stop();
    }));
    await Promise.all(this.actors.map(({ door }) => door?.close()));
  }

  /** Kills all. */
  kill(): void {
    for (const { process } of this.alive) process.signal("SIGKILL");
  }

  #start(program: Program, extra: string[]): Actor {
    const { url, port, colours, onLine, onEnd } = this.#options;
    const door = port === undefined ? undefined : new Door(port);
    const file = /(\w+)\.ts\b/.exec(scriptOf(program.command))![1]!;
    const same = this.actors.filter(({ name }) => name.split(" ")[0] === file).length;
    const actor: Actor = {
      name: same === 0 ? file : `${file} ${same + 1}`,
      isProducer: isProducer(program),
      process: new ExampleProcess(program.command, {
        url: door?.url ?? url,
        extra,
        colours,
        onLine: (line) => onLine(actor, line),
      }),
      door,
      isAlive: true,
      isFrozen: false,
    };
    this.actors.push(actor);
    void actor.process.ended.then(({ code, signal }) => {
      actor.isAlive = false;
      onEnd(actor, signal ? `ended by ${signal}` : code === 0 ? "has ended" : `failed (${code})`);
    });
    return actor;
  }
}

function isProducer({ command }: Program): boolean {
  return /producer\.ts$/.test(scriptOf(command));
}
