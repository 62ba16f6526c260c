/**
 * No queue, but the least that one with leases costs: a script that stores a message once, however often
 * it is sent, and tells one consumer; and a script that hands it out under a deadline, sent behind the
 * wait. Nothing else is kept, counted or checked, so this is a floor for the latency of ours.
 *
 * @module
 */
import { createRequire } from "node:module";
import { createHash } from "node:crypto";
import { createClient } from "redis";
import { type OpenPeer, type Payload, spaced } from "../peer.ts";

const { version } = createRequire(import.meta.url)("redis/package.json") as {
  version: string;
};

/** Keys: ready, wake, control, replays. Arguments: producer, batch, message. */
const ENQUEUE = `
local last = redis.call("HGET", KEYS[4], ARGV[1])
if last and tonumber(ARGV[2]) <= tonumber(last) then return 0 end
local tell = redis.call("LLEN", KEYS[2]) == 0 and not redis.call("HGET", KEYS[3], "paused")
redis.call("LPUSH", KEYS[1], ARGV[3])
if tell then redis.call("LPUSH", KEYS[2], "1") end
redis.call("HSET", KEYS[4], ARGV[1], ARGV[2])
return 1`;

/** Keys: ready, leased, leases. Arguments: lease, how long it lasts. */
const CLAIM = `
local time = redis.call("TIME")
local message = redis.call("RPOP", KEYS[1])
if not message then return end
redis.call("HSET", KEYS[2], ARGV[1], message)
redis.call("ZADD", KEYS[3], time[1] * 1000 + ARGV[2], ARGV[1])
return message`;

const sha = (text: string) => createHash("sha1").update(text).digest("hex");

const open: OpenPeer = async (url, name) => {
  const redis = createClient({ url, RESP: 3, maintNotifications: "disabled" });
  redis.on("error", () => {}); // without a listener a lost connection would end the process
  await redis.connect();
  for (const text of [ENQUEUE, CLAIM]) await redis.scriptLoad(text);
  const key = (part: string) => `queue:{${name}}:${part}`;
  const [ready, wake, leased, leases] = ["ready", "wake", "leased", "leases"]
    .map(key) as [
      string,
      string,
      string,
      string,
    ];
  let batch = 0;
  const enqueue = (payload: Payload) =>
    redis.evalSha(sha(ENQUEUE), {
      keys: [ready, wake, key("control"), key("replays")],
      arguments: ["producer", String(batch++), JSON.stringify(payload)],
    });

  /** One message after the other, until it is called back. */
  async function consume(
    handle: (payload: Payload) => void,
  ): Promise<() => Promise<void>> {
    const waiting = redis.duplicate();
    waiting.on("error", () => {});
    await waiting.connect();
    let stopped = false;
    const loop = async () => {
      for (let claim = 0; !stopped; claim++) {
        const lease = `consumer:${claim}`;
        const [, message] = await Promise.all([
          waiting.blPop(wake, 0),
          waiting.evalSha(sha(CLAIM), {
            keys: [ready, leased, leases],
            arguments: [lease, "30000"],
          }),
        ]);
        if (message !== null) handle(JSON.parse(String(message)));
        await Promise.all([
          redis.hDel(leased, lease),
          redis.zRem(leases, lease),
        ]);
      }
    };
    const running = loop().catch((error) => {
      if (!stopped) throw error;
    });
    return async () => {
      stopped = true;
      waiting.destroy();
      await running;
    };
  }

  return {
    label: `redis ${version}, two scripts`,
    enqueue: {},
    drain: {},
    probe: { latency: (work) => spaced(work, enqueue, consume) },
    fill: () => Promise.resolve(),
    empty: async () =>
      void await redis.unlink([
        ready,
        wake,
        leased,
        leases,
        key("control"),
        key("replays"),
      ]),
    close: () => redis.close(),
  };
};
export default open;
