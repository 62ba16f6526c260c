/**
 * `PriorityQueue` with none of its options: its statistics, on by default, are off.
 *
 * @module
 */
import { PriorityQueue } from "@workshop/redis-patterns";
import { leasedPeer } from "../leased_peer.ts";
import { type OpenPeer, type Payload, payload } from "../peer.ts";

const open: OpenPeer = (url, name) =>
  leasedPeer({ url, name, payload }, (redis) => {
    const queue = new PriorityQueue<Payload>(redis, name, { stats: false });
    let n = 0;
    return {
      queue,
      kind: "PriorityQueue",
      enqueue: (payload, options) => queue.enqueue(payload, { ...options, priority: 1 + n++ % 3 }),
    };
  });
export default open;
