/**
 * BullMQ with priorities 1, 2 and 3 in turn; else as `bullmq.ts`.
 *
 * @module
 */
import type { OpenPeer } from "../peer.ts";
import { bullmq } from "./bullmq.ts";

const open: OpenPeer = (url, name) => {
  let n = 0;
  const options = () => ({ priority: 1 + n++ % 3 });
  return bullmq(url, name, { label: "BullMQ with priorities", options });
};
export default open;
