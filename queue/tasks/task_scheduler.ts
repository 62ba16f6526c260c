/**
 * `TaskScheduler`: tasks that come again, by a cron pattern or at an interval, and those that wait for
 * their time.
 *
 * ```
 *   schedules ──► due? ──► the ticks (croner) ──► one script: next tick, and the task ──► queue
 *   delayed ────► due? ──► ready
 * ```
 *
 * It runs two small loops. One asks Redis every second, and at the time of the next tick, which schedules
 * are due, and fires them; the other promotes what is delayed and sweeps what has lapsed, as workers do.
 * Both survive a Redis that is away. It ends when it is stopped, or with an error that no waiting mends.
 *
 * @module
 */
import { call } from "../../redis/call.ts";
import type { RedisClient } from "../../redis/client.ts";
import { checkClient } from "../../redis/topology.ts";
import { isRetryable, replyWord } from "../../redis/errors.ts";
import { type QueueKeys, queueKeys, type ScheduleKeys, scheduleKeys } from "../../redis/keys.ts";
import { checkOptions, checkSignal, optionNames } from "../../redis/options.ts";
import type { Send } from "../../redis/script.ts";
import { show } from "../../redis/show.ts";
import { backoffMs, checkCount, sleep, within } from "../../redis/timers.ts";
import { TICK_MS } from "../claimer.ts";
import { explaining } from "../explain.ts";
import { TICK } from "../intake.ts";
import { Registration } from "../registry.ts";
import {
  checkScheduleName,
  cronDefinition,
  type CronOptions,
  type Definition,
  type EveryOptions,
  intervalDefinition,
  neverFires,
  type Plan,
  planOf,
  type Read,
  readDefinition,
  taskBody,
  timingOf,
  upcoming,
  writeDefinition,
} from "./schedule.ts";
import {
  type Change,
  type Due,
  fireScript,
  KIND,
  type Listed,
  listScript,
  LOOK_AT,
  lookScript,
  MAX_SCHEDULES,
  removeScript,
  setScript,
} from "./schedule_scripts.ts";
import {
  type Schedule,
  type Scheduled,
  SCHEDULER_OPTIONS,
  type SchedulerEvent,
  type TaskSchedulerOptions,
} from "./scheduler_types.ts";
import type { TaskMap, TaskName, WithPayload } from "./task_map.ts";
import { INSIDE, type Inside, TaskQueue } from "./task_queue.ts";

/** How long defining and listing are repeated while Redis is away. */
const PERSIST_MS = 20_000;

/** How long the end may take while Redis does not answer. */
const CLOSE_MS = 500;

/** How many ticks a definition brings along, so that one is left when it comes to Redis. */
const TICKS_AHEAD = 10;

/** How often a definition is sent whose ticks were over when it came, or whose predecessor fired. */
const SET_REPEATS = 10;

const LIST_OPTIONS = optionNames<{ upcoming?: number }>({ upcoming: true });
const RUN_OPTIONS = optionNames<{ signal?: AbortSignal }>({ signal: true });

/**
 * Fires tasks by cron patterns and at intervals, and moves delayed tasks when they are due.
 *
 * **Guarantee:** one task for each tick, whatever the number of schedulers, and however they end: the next
 * tick and the task are written by one script. What was missed while none ran is made up for as `catchUp`
 * says. The task itself is handed over at least once, as all tasks are.
 * **Redis types:** a HASH of definitions, a ZSET of next ticks, a HASH of what has fired. They outlive all
 * schedulers: to end a schedule, `remove` it.
 * **Commands:** two a second while nothing is due, two for a tick.
 * **A crash** of a scheduler costs nothing while another one runs. A task's id is its schedule's name and
 * the tick, `nightly@1795320000000`, so it can be found.
 * **Choose another** for what runs once: enqueue it with `runAt`.
 *
 * A tick fires some milliseconds late by Redis's clock, up to a second where the schedule was defined by
 * another program less than a second before. Run two schedulers, in two programs; more add nothing.
 *
 * @typeParam T The map of the tasks.
 *
 * @example A report every night, a pulse every second
 * ```ts
 * import { connect } from "@workshop/redis-patterns";
 * import { TaskScheduler } from "@workshop/redis-patterns/tasks";
 *
 * type Tasks = {
 *   send_report(payload: { to: string }): void;
 *   ping(): void;
 * };
 * const redis = await connect();
 * const fired = Promise.withResolvers<string>();
 * const scheduler = new TaskScheduler<Tasks>(redis, {
 *   name: "docs_scheduler",
 *   onEvent: (event) => event.type === "fired" && fired.resolve(event.schedule),
 * });
 * const report = { to: "ann@example.com" };
 * await scheduler.cron("nightly", "0 3 * * *", "send_report", report, { timeZone: "Europe/Vienna" });
 * await scheduler.every("pulse", 1_000, "ping");
 *
 * scheduler.start();
 * console.log(await fired.promise); // pulse
 * await scheduler.stop();
 *
 * for (const { name } of await scheduler.list()) await scheduler.remove(name);
 * await redis.close();
 * ```
 */
export class TaskScheduler<T extends TaskMap<T>> implements AsyncDisposable {
  /** The queue of the tasks. */
  readonly name: string;
  readonly #client: RedisClient;
  readonly #queue: { [TICK](): Promise<number> };
  readonly #keys: QueueKeys & ScheduleKeys;
  readonly #send: Send;
  readonly #own: Inside["own"] & { idle_ms: number; counting: string };
  readonly #registration: Registration;
  readonly #onEvent: ((event: SchedulerEvent) => void) | undefined;
  /** Definitions that cannot be followed, by name and first line. */
  readonly #unread = new Set<string>();
  #stopping = new AbortController();
  #loop: Promise<void> | undefined;
  /** Aborted, and made anew, when a schedule was defined here. */
  #defined = new AbortController();

  /**
   * Makes the scheduler; `run()` or `start()` starts it. Schedules can be defined without.
   *
   * @param client From `connect()`, or any client of `npm:redis`. It stays yours to close.
   * @throws {TypeError} for a bad name, group or client, or an unknown option.
   * @throws {RangeError} for a measure out of range.
   */
  constructor(client: RedisClient, options: TaskSchedulerOptions = {}) {
    const { name = "tasks", onEvent, ...ofQueue } = checkOptions(
      "TaskScheduler",
      options,
      SCHEDULER_OPTIONS,
    );
    if (onEvent !== undefined && typeof onEvent !== "function") {
      throw new TypeError(`onEvent must be a function, but is ${show(onEvent)}`);
    }
    this.#client = checkClient(client);
    const queue = new TaskQueue<T>(client, { name, ...ofQueue }); // which checks them
    this.#queue = queue;
    this.name = name;
    this.#onEvent = onEvent;
    this.#keys = { ...queueKeys(name), ...scheduleKeys(name) };
    const explained = { name, kind: KIND, keys: this.#keys };
    this.#send = explaining(client, explained, (args) => call(client, args, { raw: true }));
    const { leaseMs = 30_000, stats = true } = ofQueue;
    this.#own = { ...queue[INSIDE]().own, idle_ms: leaseMs, counting: stats ? "1" : "0" };
    this.#registration = new Registration(KIND, name);
  }

  /**
   * Defines a schedule by a cron pattern, or changes it. One that is defined so already goes on as it was,
   * so programs may say it whenever they start. A changed one begins now; what the old one has missed is
   * made up for if it is a tick of the new one, too.
   *
   * @param name Its name, 1 to 184 bytes without control characters.
   * @param pattern Minute, hour, day, month, weekday: `"0 3 * * *"`; six parts begin with seconds. Lists,
   * ranges, steps, names (`MON-FRI`), `L` for the last day of the month, `MON#2` for the second Monday. A
   * time that a spring day does not have fires at the end of the gap; one that an autumn day has twice
   * fires once, and what has a wildcard or a step in it fires as often as the clock shows it.
   * @param type The task's name.
   * @param rest The task's payload, at most 64 KiB, and options. Where it takes none, it may be left out; it
   * is `null` if options follow.
   * @throws {TypeError} for a bad name, pattern, zone or payload, an unknown option, or a pattern that
   * never fires.
   * @throws {RangeError} for a payload that is too large, or when there are 1,000 schedules already.
   * @throws {RedisConnectionError} when Redis did not answer for 20 s.
   *
   * @example By the clocks of Vienna, and not before yesterday's is done
   * ```ts
   * import { connect } from "@workshop/redis-patterns";
   * import { TaskScheduler } from "@workshop/redis-patterns/tasks";
   *
   * const redis = await connect();
   * type Tasks = { send_report(payload: { to: string }): void };
   * const scheduler = new TaskScheduler<Tasks>(redis, { name: "docs_cron" });
   * const define = () =>
   *   scheduler.cron("nightly", "0 3 * * *", "send_report", { to: "ann@example.com" }, {
   *     timeZone: "Europe/Vienna",
   *     overlap: "skip",
   *   });
   * console.log((await define()).change, (await define()).change); // added none
   * await scheduler.remove("nightly");
   * await redis.close();
   * ```
   */
  async cron<K extends TaskName<T>>(
    name: string,
    pattern: string,
    type: K,
    ...rest: WithPayload<T, K, CronOptions>
  ): Promise<Scheduled> {
    const [payload, options = {}] = rest.length === 0 ? [null] : rest;
    return await this.#define(name, cronDefinition(pattern, type, options), payload);
  }

  /**
   * Defines a schedule by an interval, or changes it, as {@linkcode TaskScheduler.cron} does. It fires at
   * the multiples of the interval since 1970, by Redis's clock: every 3,600,000 ms is at the full hour.
   *
   * @param name Its name, 1 to 184 bytes without control characters.
   * @param everyMs The interval in whole milliseconds, from 100 to 31,622,400,000 (366 days).
   * @param type The task's name.
   * @param rest The task's payload, at most 64 KiB, and options. Where it takes none, it may be left out; it
   * is `null` if options follow.
   * @throws {RangeError} for an interval out of range.
   * @throws As {@linkcode TaskScheduler.cron}.
   */
  async every<K extends TaskName<T>>(
    name: string,
    everyMs: number,
    type: K,
    ...rest: WithPayload<T, K, EveryOptions>
  ): Promise<Scheduled> {
    const [payload, options = {}] = rest.length === 0 ? [null] : rest;
    return await this.#define(name, intervalDefinition(everyMs, type, options), payload);
  }

  /**
   * All schedules of the queue, whoever defined them: what fires next in front, and what fires no more at
   * the end.
   *
   * @param options `upcoming`: how many ticks behind the next one are told of each, from 0 to 100; 0 by
   * default.
   * @throws {TypeError} for an unknown option.
   * @throws {RangeError} for a bad `upcoming`.
   */
  async list(options: { upcoming?: number } = {}): Promise<Schedule[]> {
    const { upcoming = 0 } = checkOptions("list", options, LIST_OPTIONS);
    checkCount("upcoming", upcoming, { min: 0, max: 100 });
    const byName = new Map<string, Schedule>();
    let cursor = "0";
    do {
      const part = await this.#persist(() => listScript.run(this.#send, this.#keys, { cursor }));
      for (const listed of part.listed) byName.set(listed.name, describe(listed, upcoming));
      cursor = part.next;
    } while (cursor !== "");
    const nextOf = ({ nextAt = Infinity }: Schedule) => nextAt;
    return [...byName.values()].sort((a, b) =>
      nextOf(a) === nextOf(b) ? (a.name < b.name ? -1 : 1) : nextOf(a) - nextOf(b)
    );
  }

  /**
   * Ends a schedule. Tasks that it has fired stay.
   *
   * @returns Whether there was one.
   * @throws {TypeError} for what can be no schedule's name.
   * @throws {RedisConnectionError} when Redis did not answer; if it was `sent`, it may be removed.
   */
  async remove(name: string): Promise<boolean> {
    return await removeScript.run(this.#send, this.#keys, { name: checkScheduleName(name) });
  }

  /**
   * Starts, and resolves when the scheduler has stopped.
   *
   * @param options `signal`: stops it, as {@linkcode TaskScheduler.stop} does.
   * @throws What ended it, if it was not told to stop.
   * @throws {TypeError} if it runs already, or for a `signal` that is none.
   */
  async run(options: { signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = checkOptions("run", options, RUN_OPTIONS);
    checkSignal(signal);
    if (signal?.aborted) return;
    const onAbort = () => void this.stop().catch(() => {}); // run() itself rejects with it
    signal?.addEventListener("abort", onAbort);
    try {
      await this.start();
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /**
   * Starts without waiting for the end.
   *
   * @returns What {@linkcode TaskScheduler.run} returns. If nobody takes it, a failure is an unhandled
   * rejection, since it must not go unnoticed.
   * @throws {TypeError} if it runs already.
   */
  start(): Promise<void> {
    if (this.#loop) throw new TypeError(`The scheduler of "${this.name}" runs already`);
    this.#stopping = new AbortController();
    this.#unread.clear();
    this.#loop = this.#main(this.#stopping).finally(() => this.#loop = undefined);
    return this.#loop;
  }

  /**
   * Stops: fires nothing any more. The schedules stay, and what they miss from now on is up to other
   * schedulers. It takes half a second at most, also while Redis does not answer.
   *
   * @throws What ended the scheduler, if it failed.
   */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  /** Stops; see {@linkcode TaskScheduler.stop}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #define(name: string, definition: Definition, payload: unknown): Promise<Scheduled> {
    checkScheduleName(name);
    const text = writeDefinition(name, definition, taskBody(definition.type, payload));
    const { change, at } = await this.#set(name, definition, text);
    this.#registration.renew(this.#send);
    this.#defined.abort();
    this.#defined = new AbortController();
    return { name, ...(at !== undefined && { nextAt: at }), change };
  }

  /** The ticks are found here and Redis's clock goes on, so it may take several attempts. */
  async #set(
    name: string,
    definition: Definition,
    text: string,
  ): Promise<{ change: Change; at?: number }> {
    const timing = timingOf(definition);
    let { now } = await this.#persist(() => lookScript.run(this.#send, this.#keys, { most: 0 }));
    let due: number | undefined; // of the schedule that is there
    for (let repeats = 0; repeats < SET_REPEATS; repeats++) {
      const ticks = upcoming(definition, now, TICKS_AHEAD);
      const args = {
        name,
        definition: text,
        max_schedules: MAX_SCHEDULES,
        seen: due ?? "",
        keep: due !== undefined && timing.next(due - 1) === due ? "1" : "0",
      };
      const { change, ...set } = await this.#persist(() =>
        setScript.run(this.#send, this.#keys, args, ticks.map(String))
      );
      if (change === "full") {
        const what = show(name, "string");
        throw new RangeError(
          `The queue "${this.name}" has ${MAX_SCHEDULES} schedules: there is no room for ${what}`,
        );
      }
      if (change !== "due" && change !== "stale") return { change, at: set.at };
      if (change === "stale" && ticks.length === 0) throw neverFires(definition, now);
      ({ now, at: due } = set);
    }
    throw new Error(
      `The schedule ${
        show(name, "string")
      } was not set: ${SET_REPEATS} times its ticks were over, ` +
        `or its predecessor's fired, when it came to Redis`,
    );
  }

  async #main(stopping: AbortController): Promise<void> {
    const { signal } = stopping;
    const stopped = new Promise((resolve) => signal.addEventListener("abort", resolve));
    let failure: { error: unknown } | undefined;
    const loops = [
      this.#repeat(() => this.#fireDue(signal), signal),
      this.#repeat(() => this.#tick(), signal),
    ].map((loop) =>
      loop.catch((error) => {
        failure ??= { error };
        stopping.abort();
      })
    );
    await stopped;
    // A command on its way may take long while Redis is away; it is done as a whole, or not at all.
    await within(Promise.all(loops), CLOSE_MS).catch(() => {});
    if (failure) throw failure.error;
  }

  /** Runs `step` again and again: after the time that it gives, a second at most. */
  async #repeat(step: () => Promise<number>, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted;) {
      const defined = this.#defined.signal; // before Redis is asked: it may not know of it yet
      let waitMs: number;
      try {
        waitMs = Math.min(TICK_MS, Math.max(0, await step()));
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        // A queue that is full has workers that empty it; a scheduler that ended would miss ticks.
        if (!isRetryable(error) && replyWord(error) !== "OOM") throw error;
        waitMs = backoffMs(failures++);
        this.#onEvent?.({ type: "retrying", error: error as Error, inMs: waitMs });
      }
      await sleep(waitMs, signal, defined);
    }
  }

  /** Promotes and sweeps; gives in how many milliseconds the next delayed message is due. */
  async #tick(): Promise<number> {
    this.#registration.renew(this.#send);
    return await this.#queue[TICK]() - performance.now();
  }

  /** Fires what is due; gives in how many milliseconds the next tick is. */
  async #fireDue(signal: AbortSignal): Promise<number> {
    const askedAt = performance.now();
    // What cannot be followed here stays due, and must not hide what can.
    const most = LOOK_AT + this.#unread.size;
    const { now, nextAt, due } = await lookScript.run(this.#send, this.#keys, { most });
    if (signal.aborted) return 0;
    const nexts = await Promise.all(due.map((one) => this.#fire(one, now)));
    if (due.length === most) return 0; // there may be more
    return askedAt + Math.min(nextAt, ...nexts) - now - performance.now();
  }

  /** Fires a schedule, unless somebody else has; gives its next tick. */
  async #fire(due: Due, now: number): Promise<number> {
    const followed = this.#follow(due, now);
    if (!followed) return Infinity;
    const { plan: { ticks, next = Infinity, late }, read: { definition, uid } } = followed;
    const { name: schedule, head, at } = due;
    const { catchUp, overlap } = definition;
    const fired = await fireScript.run(this.#send, this.#keys, {
      ...this.#own,
      name: schedule,
      head,
      due: at,
      next: next === Infinity ? "" : next,
      uid,
      overlap,
    }, ticks.map(String));
    if (!fired.ours) return next;
    if (late) this.#onEvent?.({ type: "late", schedule, at, lateMs: fired.now - at, catchUp });
    for (const [i, became] of fired.ticks.entries()) {
      const tick = { schedule, id: `${schedule}@${ticks[i]}`, at: ticks[i]! };
      if (became === "skipped") this.#onEvent?.({ type: "skipped", ...tick });
      if (became === "fired") {
        this.#onEvent?.({ type: "fired", ...tick, lateMs: fired.now - tick.at });
      }
    }
    return ticks[fired.ticks.length] ?? next;
  }

  /** What is to be fired; undefined for a definition that cannot be followed here. */
  #follow({ name, head, at }: Due, now: number): { read: Read; plan: Plan } | undefined {
    const unread = `${name}\n${head}`;
    if (this.#unread.has(unread)) return undefined;
    try {
      const read = readDefinition(head);
      const { catchUp, missedAfterMs } = read.definition;
      return { read, plan: planOf(read.timing, { due: at, now, catchUp, missedAfterMs }) };
    } catch (cause) {
      const error = new Error(
        `The schedule ${show(name, "string")} of "${this.name}" cannot be followed: ` +
          (cause as Error).message,
        { cause },
      );
      if (!this.#onEvent) throw error;
      if (this.#unread.size >= MAX_SCHEDULES) this.#unread.clear(); // changed again and again
      this.#unread.add(unread);
      this.#onEvent({ type: "error", schedule: name, error });
      return undefined;
    }
  }

  /** For what may be repeated: a lost connection is waited for. */
  async #persist<R>(run: () => Promise<R>): Promise<R> {
    const until = performance.now() + PERSIST_MS;
    for (let failures = 0;; failures++) {
      try {
        return await run();
      } catch (error) {
        const pause = backoffMs(failures);
        if (!isRetryable(error) || performance.now() + pause > until) throw error;
        await sleep(pause);
      }
    }
  }
}

/** A schedule as its owner wrote it; of one that cannot be read, what stands beside it. */
function describe({ name, definition, at, fired }: Listed, most: number): Schedule {
  const [, lastAt = "", firings = 0, skipped = 0] = /^(\d*) (\d+) (\d+)$/.exec(fired) ?? [];
  return {
    name,
    ...described(definition, { at, most }),
    ...(at !== "" && { nextAt: Number(at) }),
    ...(lastAt !== "" && { lastAt: Number(lastAt), lastId: `${name}@${lastAt}` }),
    firings: Number(firings),
    skipped: Number(skipped),
  };
}

function described(
  text: string,
  { at, most }: { at: string; most: number },
): Partial<Schedule> {
  const [head = "", , ...payload] = text.split("\n");
  try {
    const { definition } = readDefinition(head);
    return {
      ...definition,
      payload: JSON.parse(payload.join("\n")),
      ...(most > 0 && { upcoming: at === "" ? [] : upcoming(definition, Number(at), most) }),
    };
  } catch {
    return {}; // the scheduler tells of it when it is due
  }
}
