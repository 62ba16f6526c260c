/**
 * `ReliableQueue` of this package: at least once, as the others.
 *
 * @module
 */
import { ReliableQueue } from "@workshop/redis-patterns";
import { leasedPeer } from "../leased_peer.ts";
import { type OpenPeer, type Payload, payload } from "../peer.ts";

const open: OpenPeer = (url, name) =>
  leasedPeer({ url, name, payload }, (redis) => {
    const queue = new ReliableQueue<Payload>(redis, name);
    return {
      queue,
      kind: "ReliableQueue",
      enqueue: (payload, o) => queue.enqueue(payload, o),
    };
  });
export default open;
