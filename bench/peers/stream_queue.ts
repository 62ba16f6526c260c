/**
 * `StreamQueue` of this package: a stream with a consumer group, under the same leases.
 *
 * @module
 */
import { StreamQueue } from "@workshop/redis-patterns";
import { leasedPeer } from "../leased_peer.ts";
import { type OpenPeer, type Payload, payload } from "../peer.ts";

const open: OpenPeer = (url, name) =>
  leasedPeer({ url, name, payload }, (redis) => {
    const queue = new StreamQueue<Payload>(redis, name);
    return {
      queue,
      kind: "StreamQueue",
      enqueue: (payload, o) => queue.enqueue(payload, o),
    };
  });
export default open;
