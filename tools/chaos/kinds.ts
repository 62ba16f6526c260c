/**
 * The kinds of queue that the chaos run torments: each is an entry of one table, which says how to
 * enqueue, how a worker process consumes, and what has to be left when all is done. A new kind is a new
 * entry and nothing else.
 *
 * @module
 */
import {
  type ConnectedClient,
  type Delivery,
  type Enqueued,
  ListQueue,
  type Message,
  PriorityQueue,
  ReliableQueue,
  StreamQueue,
  Worker,
  type WorkerEvent,
  type WorkerSource,
} from "@workshop/redis-patterns";
import { TaskProducer, TaskWorker } from "@workshop/redis-patterns/tasks";
import { queueKeys } from "../../redis/keys.ts";

/** What a worker process is told, as JSON in its first argument. */
export interface Orders {
  /** Where Redis is. */
  url: string;
  /** The kind, by its name in {@linkcode KINDS}. */
  kind: string;
  /** The queue. */
  name: string;
  /** Where to write what happens; see trail.ts. */
  file: string;
  /** How long a lease is. */
  leaseMs: number;
  /** How many handlers at a time. */
  concurrency: number;
  /** How long a handler takes: message n takes from the first to the second of these. */
  handleMs: [number, number];
}

/** What a producer asks for. */
export interface Wanted {
  leaseMs: number;
  /** How many replicas have to have a message, or 0. */
  replicas: number;
}

/** What a worker process has to do for a message, and to tell about it. */
export interface Work {
  orders: Orders;
  /** Aborts when the process was asked to leave. */
  signal: AbortSignal;
  /** The handler: takes a while, and writes down when it begins and ends. */
  handle(n: number, attempt: number): Promise<void>;
  /** Writes down what became of a message. */
  say(what: "acked" | "lost" | "failed", n: number, attempt: number): void;
}

/** The producer's side of a queue. */
export interface Produced extends AsyncDisposable {
  /** Stores these; those of one call may travel together. Gives whether enough replicas have them all. */
  enqueue(numbers: number[], delayMs: number): Promise<boolean>;
  /** What is there, by state; all 0 when everything was handled. */
  counts(): Promise<Record<string, number>>;
  /** What must not have stayed behind when the workers have left, in words. */
  remains(): Promise<string[]>;
}

/** One kind of queue. */
export interface Kind {
  /** Its class. */
  readonly title: string;
  /** The control promises nothing: it has to lose something, or the run proves nothing. */
  readonly isControl?: boolean;
  /** Opens the producer's side. */
  open(redis: ConnectedClient, name: string, wanted: Wanted): Produced;
  /** Consumes in a process of its own, until the signal aborts. */
  work(redis: ConnectedClient, work: Work): Promise<void>;
}

/** No message may die of the faults: each costs an attempt. */
const MAX_ATTEMPTS = 100_000;

/** All ends are looked at when all is done. */
const RECORDS = { count: 1_000_000 };

interface Tasks {
  /** Gives true. */
  count(n: number): boolean;
}

/** What has to be gone from a stream's group. */
async function remainsOfGroup(redis: ConnectedClient, name: string): Promise<string[]> {
  const groups = await redis.xInfoGroups(queueKeys(name).ready);
  return groups.flatMap(({ pending, consumers }) => [
    ...(Number(pending) > 0 ? [`${pending} entries are pending in the group`] : []),
    ...(Number(consumers) > 0 ? [`${consumers} consumers are left in the group`] : []),
  ]);
}

type Leased = ReliableQueue<number> | PriorityQueue<number> | StreamQueue<number>;

/** A queue with leases, and a `Worker` on it. */
function leased(
  title: string,
  make: (redis: ConnectedClient, name: string, options: LeasedOptions) => Leased,
  remains: (redis: ConnectedClient, name: string) => Promise<string[]> = () => Promise.resolve([]),
): Kind {
  return {
    title,
    open(redis, name, wanted) {
      const queue = make(redis, name, optionsOf(wanted));
      return {
        async enqueue(numbers, delayMs) {
          return areConfirmed(await queue.enqueueMany(numbers, { delayMs }));
        },
        async counts() {
          const { ready, leased, delayed, dead } = await queue.counts();
          return { ready, leased, delayed, dead };
        },
        remains: () => remains(redis, name),
        [Symbol.asyncDispose]: () => queue.close(),
      };
    },
    async work(redis, work) {
      const { name, leaseMs } = work.orders;
      await using queue = make(redis, name, optionsOf({ leaseMs, replicas: 0 }));
      await runWorker<Delivery<number>>(queue, work, (event) => {
        if (event.type !== "done" && event.type !== "lost" && event.type !== "failed") return;
        const { payload, attempt } = event.delivery;
        work.say(event.type === "done" ? "acked" : event.type, payload, attempt);
      });
    },
  };
}

/** `deno task chaos --kind NAME`: the queues that promise something, and the one that does not. */
export const KINDS: Readonly<Record<string, Kind>> = {
  reliable: leased(
    "ReliableQueue",
    (redis, name, options) => new ReliableQueue(redis, name, options),
  ),
  priority: leased(
    "PriorityQueue",
    (redis, name, options) => new PriorityQueue(redis, name, options),
  ),
  stream: leased(
    "StreamQueue",
    (redis, name, options) => new StreamQueue(redis, name, options),
    remainsOfGroup,
  ),
  tasks: {
    title: "tasks",
    open(redis, name, { replicas }) {
      const options = { name, keepRecords: RECORDS, ...durabilityOf(replicas) };
      const producer = new TaskProducer<Tasks>(redis, options);
      return {
        async enqueue(numbers, delayMs) {
          const tasks = numbers.map((payload) => ({ type: "count", payload }) as const);
          return areConfirmed(await producer.queue.enqueueMany(tasks, { delayMs }));
        },
        async counts() {
          const { ready, leased, delayed, dead } = await producer.queue.counts();
          return { ready, leased, delayed, dead };
        },
        async remains() {
          const { records } = queueKeys(name);
          const undone: string[] = [];
          for (const [id, record] of Object.entries(await redis.hGetAll(records))) {
            const [line, result] = record.split("\n");
            if (line!.startsWith("done\t") && result === "true") continue;
            undone.push(`the record of task ${id} says ${line!.split("\t")[0]}, result ${result}`);
          }
          return [...undone.slice(0, 5), ...await remainsOfGroup(redis, name)];
        },
        [Symbol.asyncDispose]: () => producer.close(),
      };
    },
    async work(redis, work) {
      const { name, leaseMs, concurrency } = work.orders;
      await using worker = new TaskWorker<Tasks>(redis, {
        ...{ name, concurrency, keepRecords: RECORDS, ...optionsOf({ leaseMs, replicas: 0 }) },
        handlers: {
          async count(n, { attempt }) {
            await work.handle(n, attempt);
            return true;
          },
        },
        onEvent(event) {
          if (event.type !== "done" && event.type !== "lost" && event.type !== "failed") return;
          const { payload: { payload }, attempt } = event.delivery;
          work.say(event.type === "done" ? "acked" : event.type, payload, attempt);
        },
      });
      await worker.run({ signal: work.signal });
    },
  },
  control: {
    title: "ListQueue (a plain BRPOP)",
    isControl: true,
    open(redis, name) {
      const queue = new ListQueue<number>(redis, name);
      return {
        // A plain list knows no delays, and nobody waits for replicas.
        enqueue: (numbers) => queue.enqueueMany(numbers).then(() => true),
        counts: () => queue.counts(),
        remains: () => Promise.resolve([]),
        [Symbol.asyncDispose]: () => queue.close(),
      };
    },
    async work(redis, work) {
      await using queue = new ListQueue<number>(redis, work.orders.name);
      await runWorker<Message<number>>(queue, work, (event) => {
        if (event.type === "done") work.say("acked", event.delivery.payload, 1);
      });
    },
  },
};

type LeasedOptions = ReturnType<typeof optionsOf>;

function optionsOf({ leaseMs, replicas }: Wanted) {
  return { leaseMs, maxAttempts: MAX_ATTEMPTS, backoff: () => 50, ...durabilityOf(replicas) };
}

function durabilityOf(replicas: number): { durability?: { replicas: number } } {
  return replicas > 0 ? { durability: { replicas } } : {};
}

/** Where nothing was said of replicas, the reply is all that there is. */
function areConfirmed(enqueued: readonly Enqueued[]): boolean {
  return enqueued.every(({ confirmed }) => confirmed !== false);
}

async function runWorker<D extends { payload: number; attempt?: number }>(
  queue: WorkerSource<D>,
  work: Work,
  onEvent: (event: WorkerEvent<D>) => void,
): Promise<void> {
  const worker = new Worker<D>(
    queue,
    (n, { delivery }) => work.handle(n, delivery.attempt ?? 1),
    { concurrency: work.orders.concurrency, onEvent },
  );
  await worker.run({ signal: work.signal });
}
