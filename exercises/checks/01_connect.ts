import { listen } from "#ex/01_connect.ts";
import { exercise, must, until, within } from "./room.ts";

exercise("01", async ({ redis, look, name, sent, connections }) => {
  const door = name("door");
  const before = await connections();
  const heard = listen(redis, door);
  heard.catch(() => {}); // told below
  const waits = async () => (await sent()).some(([command]) => /^B[LR]/.test(command!));
  await until(waits, "Nobody waits at the door: Redis received no BRPOP");
  const ping = redis.ping();
  ping.catch(() => {});
  const late =
    "A PING was not answered while somebody waits at the door: it stands behind BRPOP, on the same connection";
  await within(ping, late, 500).finally(() => look.lPush(door, "ding"));
  const who = await within(heard, "The bell rang, and listen() did not return");
  must(who === "ding", `"ding" rang at the door, and listen() returned ${JSON.stringify(who)}`);
  const closed = async () => await connections() <= before;
  await until(closed, "The second connection is still open after listen() has returned");
});
