/**
 * What the benchmarks ask of a queue library, and the work it is given: the same for all. Runs in
 * Deno and in Node.
 *
 * @module
 */

/** A queue library at work on a queue of its own. */
export interface Peer {
  /** Name and version, for the table. */
  readonly label: string;
  /** Ways to enqueue, by the name of the call. */
  readonly enqueue: Record<string, Way>;
  /** Ways to consume what is there with a handler that does nothing, best settings. */
  readonly drain: Record<string, Way>;
  /** What is timed message by message, by what it shows. */
  readonly probe?: Record<string, Probe>;
  /** Fills the queue in the fastest way, for a drain. */
  fill(work: Work): Promise<unknown>;
  /** Removes every key of the queue: never FLUSH, the server may be somebody's. */
  empty(): Promise<void>;
  /** Closes all connections. */
  close(): Promise<void>;
}

/** Does the work; returns the milliseconds it took, without what came before and after. */
export type Way = (work: Work) => Promise<number>;

/** Does the work; returns a figure a message (milliseconds, if it does not say otherwise). */
export type Probe = (work: Work) => Promise<number[]>;

/** How many messages, and how many calls are awaited together. */
export interface Work {
  count: number;
  atATime: number;
}

/** Every module in `peers/` exports this as its default. */
export type OpenPeer = (url: string, name: string) => Promise<Peer>;

/** What every message carries: 100 bytes as JSON. */
export const payload: Payload = {
  to: "ada.lovelace@example.org",
  template: "welcome",
  locale: "en-GB",
  userId: 18151,
  retry: false,
};
export interface Payload {
  to: string;
  template: string;
  locale: string;
  userId: number;
  retry: boolean;
  /** For probes only. */
  sentAt?: number;
}

/** Work as single calls, `atATime` of them awaited together. */
export function singly(
  work: Work,
  call: () => Promise<unknown>,
): Promise<number> {
  return inBatches(
    work,
    (size) => Promise.all(Array.from({ length: size }, call)),
  );
}

/** Work as calls that take an array. */
export function inBulk<T>(
  work: Work,
  item: () => T,
  call: (items: T[]) => Promise<unknown>,
): Promise<number> {
  return inBatches(work, (size) => call(Array.from({ length: size }, item)));
}

async function inBatches(
  { count, atATime }: Work,
  call: (size: number) => Promise<unknown>,
): Promise<number> {
  const start = performance.now();
  for (let left = count; left > 0; left -= atATime) {
    await call(Math.min(left, atATime));
  }
  return performance.now() - start;
}

/** The time from `start()` until the function it is given was called `count` times. */
export function untilCalled(
  count: number,
  start: (done: () => void) => unknown,
): Promise<number> {
  return new Promise((resolve) => {
    let left = count;
    const begin = performance.now();
    start(() => --left === 0 && resolve(performance.now() - begin));
  });
}

/** Waits. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Between two messages of `spaced`: the worker waits again by then. */
const GAP_MS = 3;

/**
 * The milliseconds from the enqueue to the handler of single messages, one after the other.
 *
 * @param start Starts a worker; gives what ends it.
 */
export async function spaced(
  { count }: Work,
  enqueue: (payload: Payload) => Promise<unknown>,
  start: (
    handle: (payload: Payload) => void,
  ) => Promise<() => Promise<unknown>>,
): Promise<number[]> {
  const waits: number[] = [];
  let done = () => {};
  const stop = await start(({ sentAt }) => {
    waits.push(performance.now() - sentAt!);
    done();
  });
  const warmUp = Math.ceil(count / 10);
  await pause(200);
  while (waits.length < warmUp + count) {
    await untilCalled(1, (each) => {
      done = each;
      void enqueue({ ...payload, sentAt: performance.now() });
    });
    await pause(GAP_MS);
  }
  await stop();
  return waits.slice(warmUp);
}

/** What `peer_process.ts` asks of `peer_host.ts`: a member of the peer, and the way where it has several. */
export interface Order {
  verb: "enqueue" | "drain" | "probe" | "fill" | "empty" | "close";
  way?: string;
  work?: Work;
}

/** The first answer of a host: what its peer can do. */
export interface Introduction {
  label: string;
  enqueue: string[];
  drain: string[];
  probe: string[];
}

export type Answer = { result: unknown } | { error: string };

/** Begins the lines that are answers: libraries print what they like to the same stream. */
export const ANSWER_MARK = "@bench ";
