/**
 * No queue at all: what `npm:redis` itself makes of one LPUSH a message, for scale.
 *
 * @module
 */
import { createRequire } from "node:module";
import { createClient } from "redis";
import { inBulk, type OpenPeer, payload, singly } from "../peer.ts";

const { version } = createRequire(import.meta.url)("redis/package.json") as {
  version: string;
};

const open: OpenPeer = async (url, name) => {
  const redis = createClient({ url, RESP: 3, maintNotifications: "disabled" });
  redis.on("error", () => {}); // without a listener a lost connection would end the process
  await redis.connect();
  const text = () => JSON.stringify(payload);
  return {
    label: `redis ${version}`,
    enqueue: {
      "lPush, one command each": (work) => singly(work, () => redis.lPush(name, text())),
    },
    drain: {},
    fill: (work) => inBulk(work, text, (items) => redis.lPush(name, items)),
    empty: async () => void await redis.unlink(name),
    close: () => redis.close(),
  };
};
export default open;
