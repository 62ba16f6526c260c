/**
 * `cluster`: one logical queue of eight partitions on one master and on three, in turns; whether each
 * message comes once and no partition starves; and how it grows with masters, by a simulation that is fed
 * with what the one master cost and compared with what three did.
 *
 * Masters have no replicas here, so that there is something to compare on a machine with few cores.
 *
 * @module
 */
import process from "node:process";
import { connect, PartitionedQueue, ReliableQueue, Worker } from "@workshop/redis-patterns";
import { RedisCluster } from "../../tools/redis_cluster.ts";
import { goal } from "../cast.ts";
import { type Costs, fit, simulate } from "../cluster_model.ts";
import { median, type Result } from "../measure.ts";
import { denoRuntime } from "../runtimes.ts";
import type { Bench, Report } from "../scenario.ts";

const PARTITIONS = 8;
/** Two sizes of batches tell what scripts cost from what messages cost. */
const CONCURRENCIES = [80, 800] as const;
const [SMALL, LARGE] = CONCURRENCIES;

/** For the waits: a steady flow that nobody is busy with. */
const FLOW = { perSecond: 1_000, ms: 5_000 };

/** No partition may have more of all waiting than this many times its part of the messages. */
const STARVED = 2;

/** How far the simulation may be from what was measured. */
const TOLERANCE = 0.35;

/** Runs the scenario. */
export async function cluster({ load, note }: Bench): Promise<Report> {
  await using stack = new AsyncDisposableStack();
  note("Starting clusters of one master and of three");
  const places = [];
  for (const masters of [1, 3]) {
    const nodes = stack.use(await RedisCluster.start({ masters, replicas: 0 }));
    const redis = await connect({ url: nodes.url });
    stack.defer(() => redis.close());
    places.push({ masters, nodes, redis, rounds: new Map<number, Round[]>() });
  }
  const name = (round: number) => `redis-patterns-bench-cluster-${round}`;
  for (const place of places) await drain(place, name(0), 10_000, LARGE); // warm
  for (let round = 1; round <= load.rounds; round++) {
    for (const concurrency of CONCURRENCIES) {
      for (const place of places) {
        note(
          `Round ${round} of ${load.rounds}: ${place.masters} × Redis, ${concurrency} slots`,
        );
        const count = concurrency === LARGE ? load.count : Math.ceil(load.count / 4);
        const done = await drain(
          place,
          name(round * 1_000 + concurrency),
          count,
          concurrency,
        );
        const { rounds } = place;
        rounds.set(concurrency, [...rounds.get(concurrency) ?? [], done]);
      }
    }
  }
  const [one, three] = places as [typeof places[0], typeof places[0]];
  note(`Waits: ${FLOW.perSecond} a second for ${FLOW.ms / 1_000} s`);
  const flow = await waits(three.redis, name(-1));

  const all = places.flatMap(({ rounds }) => [...rounds.values()].flat());
  const large = (place: typeof one) => place.rounds.get(LARGE)!;
  const costs = costsOf(one.rounds);
  const setting = {
    partitions: PARTITIONS,
    workers: 1,
    concurrency: LARGE,
    count: 20_000,
  };
  const cores = navigator.hardwareConcurrency;
  const told = [one, three].map(({ masters }) => simulate(costs, { ...setting, masters, cores }));
  const [then, now] = [one, three].map((place) => median(large(place).map(({ rate }) => rate)));
  const growth = { told: told[1]! / told[0]!, seen: now! / then! };
  const lost = all.filter(({ once }) => !once).length;
  const share = Math.max(...large(three).map(({ starved }) => starved));
  return {
    load: `${load.count} messages, ${PARTITIONS} partitions, one worker, median of ${load.rounds}`,
    tables: (["enqueue", "drain"] as const).map((verb) => {
      const results = [one, three].flatMap(({ masters, rounds }) =>
        (verb === "drain" ? CONCURRENCIES : [LARGE]).map((concurrency) => {
          const way = verb === "drain" ? `Worker, ${concurrency} slots` : "enqueueMany(1,000)";
          return resultOf(
            verb,
            `${masters} × Redis`,
            way,
            rounds.get(concurrency)!,
          );
        })
      );
      const baseline = median(results[verb === "drain" ? 1 : 0]!.rates);
      return { title: verb, results, baseline, than: "one master" };
    }),
    verdicts: [
      goal(
        `all messages once, in ${all.length} drains of up to ${load.count}`,
        lost === 0,
      ),
      `each of three masters: ${perMaster(large(three))} messages/s, and it was busy for ` +
      `${median(large(three).map(({ master }) => master)).toFixed(1)} µs a message`,
      goal(
        `the slowest partition's share of the wait: ${
          (100 * share).toFixed(1)
        } % with a backlog, ` +
          `${(100 * flow.share).toFixed(1)} % with a flow (an eighth is 12.5 %)`,
        Math.max(share, flow.share) < STARVED / PARTITIONS,
      ),
      `a message waits ${flow.p50} ms (median) and ${flow.p95} ms (p95) at ${FLOW.perSecond}/s; ` +
      `the slowest partition ${flow.slowest.toFixed(1)} ms (mean)`,
      `one master costs ${costs.master.script.toFixed(1)} µs a script and ` +
      `${costs.master.message.toFixed(2)} µs a message, a worker ${
        costs.worker.script.toFixed(1)
      } and ${costs.worker.message.toFixed(2)}`,
      ...[1, 3, 6, 12].map((masters) => growthOf(costs, masters)),
      goal(
        `three masters on ${cores} cores: simulated ${growth.told.toFixed(2)} × one, measured ` +
          `${growth.seen.toFixed(2)} ×; one: simulated ${k(told[0]!)}, measured ${k(then!)}`,
        Math.abs(growth.told / growth.seen - 1) < TOLERANCE,
      ),
    ],
  };
}

interface Place {
  nodes: RedisCluster;
  redis: Awaited<ReturnType<typeof connect>>;
}

/** What a drain showed. */
interface Round {
  rate: number;
  enqueueRate: number;
  /** Scripts a message, and microseconds of a core of all masters and of this process. */
  scripts: number;
  master: number;
  worker: number;
  once: boolean;
  /** The share of all waiting that the slowest partition has. */
  starved: number;
  /** Messages a second of each master. */
  masters: number[];
}

function queueOf(
  redis: Place["redis"],
  name: string,
): PartitionedQueue<number> {
  return new PartitionedQueue<number>(redis, name, {
    partitions: PARTITIONS,
    make: (client, part) => new ReliableQueue<number>(client, part),
  });
}

/** Enqueues `count` messages, and takes them all. */
async function drain(
  place: Place,
  name: string,
  count: number,
  slots: number,
): Promise<Round> {
  await using queue = queueOf(place.redis, name);
  const began = performance.now();
  for (let n = 0; n < count; n += 1_000) {
    await queue.enqueueMany(
      Array.from({ length: Math.min(1_000, count - n) }, (_, i) => n + i),
    );
  }
  const enqueueRate = count / (performance.now() - began) * 1_000;
  const seen = new Uint8Array(count);
  let left = count;
  const { promise, resolve } = Promise.withResolvers<void>();
  const worker = new Worker(queue, (n) => {
    seen[n]!++;
    if (--left === 0) resolve();
  }, { concurrency: slots });
  const before = await used(place.nodes);
  const own = process.cpuUsage();
  const start = performance.now();
  void worker.start();
  await promise;
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(own);
  await worker.stop();
  const after = await used(place.nodes);
  const stats = await Promise.all(queue.partitions.map((part) => part.stats()));
  const sums = stats.map(({ waits }) => waits?.sumMs ?? 0);
  const homes = await Promise.all(
    queue.partitions.map((part) => place.nodes.masterOf(`queue:{${part.name}}:ready`)),
  );
  const masters = place.nodes.nodes.map((node) =>
    stats.reduce(
      (sum, { totals }, i) => homes[i] === node ? sum + totals.acked : sum,
      0,
    ) / ms *
    1_000
  );
  await queue.dissolve();
  return {
    rate: count / ms * 1_000,
    enqueueRate,
    scripts: (after.scripts - before.scripts) / count,
    master: (after.us - before.us) / count,
    worker: (user + system) / count,
    once: seen.every((times) => times === 1),
    starved: Math.max(...sums) / sums.reduce((sum, n) => sum + n, 0),
    masters,
  };
}

/** Scripts that masters ran, and for how many microseconds they were busy. */
async function used(
  { nodes }: RedisCluster,
): Promise<{ scripts: number; us: number }> {
  let [scripts, us] = [0, 0];
  for (const node of nodes) {
    const info = await node.cli("INFO", "everything");
    const field = (pattern: RegExp) => Number(pattern.exec(info)?.[1] ?? 0);
    scripts += field(/^cmdstat_evalsha:calls=(\d+)/m) +
      field(/^cmdstat_eval:calls=(\d+)/m);
    us += 1e6 *
      (field(/^used_cpu_sys:([\d.]+)/m) + field(/^used_cpu_user:([\d.]+)/m));
  }
  return { scripts, us };
}

/** Waits of messages that come one by one, while a worker waits for them. */
async function waits(redis: Place["redis"], name: string) {
  await using queue = queueOf(redis, name);
  const worker = new Worker(queue, () => {}, { concurrency: 100 });
  void worker.start();
  const every = 1_000 / FLOW.perSecond;
  const count = FLOW.ms / every;
  const start = performance.now();
  const stored: Promise<unknown>[] = [];
  for (let n = 0; n < count;) {
    for (; n < count && start + n * every <= performance.now(); n++) {
      stored.push(queue.enqueue(n));
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(stored);
  while ((await queue.stats()).totals.acked < count) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const parts = await Promise.all(queue.partitions.map((part) => part.stats()));
  const { waitMs } = await queue.stats();
  await worker.stop();
  await queue.dissolve();
  const sums = parts.map(({ waits }) => waits!.sumMs);
  return {
    share: Math.max(...sums) / sums.reduce((sum, n) => sum + n, 0),
    slowest: Math.max(...parts.map(({ waits }) => waits!.sumMs / waits!.count)),
    p50: waitMs!.p50,
    p95: waitMs!.p95,
  };
}

function costsOf(rounds: ReadonlyMap<number, Round[]>): Costs {
  const of = (who: "master" | "worker") =>
    fit([SMALL, LARGE].map((concurrency) => {
      const all = rounds.get(concurrency)!;
      return {
        scriptsEach: median(all.map(({ scripts }) => scripts)),
        usEach: median(all.map((round) => round[who])),
      };
    }));
  return { master: of("master"), worker: of("worker") };
}

/** With a core for each master and worker, and two workers a master. */
function growthOf(costs: Costs, masters: number): string {
  const workers = 2 * masters;
  const partitions = Math.max(PARTITIONS, 3 * masters);
  const cores = masters + workers;
  const setting = {
    masters,
    partitions,
    workers,
    concurrency: LARGE,
    cores,
    count: 50_000,
  };
  const rate = simulate(costs, setting);
  return `simulated, ${masters} master${masters === 1 ? "" : "s"}, ${partitions} partitions, ` +
    `${workers} workers, ${cores} cores: ${k(rate)} messages/s, ${k(rate / masters)} a master`;
}

function perMaster(rounds: Round[]): string {
  const count = rounds[0]!.masters.length;
  return Array.from(
    { length: count },
    (_, i) => k(median(rounds.map(({ masters }) => masters[i]!))),
  )
    .join(", ");
}

function k(rate: number): string {
  return Math.round(rate).toLocaleString("en");
}

function resultOf(
  verb: "enqueue" | "drain",
  peer: string,
  way: string,
  rounds: Round[],
): Result {
  return {
    peer,
    runtime: denoRuntime().name,
    way,
    rates: rounds.map(({ rate, enqueueRate }) => verb === "drain" ? rate : enqueueRate),
    commands: rounds.map(({ scripts }) => verb === "drain" ? scripts : NaN),
    sent: NaN,
    bytes: [],
  };
}
