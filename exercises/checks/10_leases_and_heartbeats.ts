import { ReliableQueue } from "@workshop/redis-patterns";
import { leaseFor } from "#ex/10_leases_and_heartbeats.ts";
import { exercise, must, until } from "./room.ts";

/** 200 panoramas: 20 to 60 ms, a few of 300, and one that took 900. */
const DURATIONS = Array.from({ length: 200 }, (_, i) => 20 + (i * 37) % 41);
DURATIONS.splice(60, 4, 290, 900, 300, 310);

exercise("10", async ({ redis, name }) => {
  const leaseMs = leaseFor([...DURATIONS]);
  must(leaseMs > 0, `leaseFor() gave ${leaseMs}, which is no time`);
  const twice = DURATIONS.filter((ms) => ms > leaseMs).length;
  const says = `With a lease of ${Math.round(leaseMs)} ms`;
  must(twice <= 2, `${says}, ${twice} of 200 panoramas would be done twice; 2 may be`);
  must(leaseMs <= 400, `${says}, the dead are waited for too long: 198 of 200 took up to 300 ms`);
  const other = leaseFor([100, 100, 5_000, 100]);
  must(
    other === 5_000,
    `Of 4 panoramas none may be done twice, and one took 5000 ms, not ${other}`,
  );

  // And in Redis: slow but alive is done once; dead comes back, and how soon.
  await using ann = new ReliableQueue<string>(redis, name("panoramas"), { leaseMs });
  await using bob = new ReliableQueue<string>(redis, name("panoramas"), { leaseMs });
  await ann.enqueueMany(["panorama_1", "panorama_2"]);
  const first = await ann.receive();
  await new Promise((resolve) => setTimeout(resolve, 60));
  const error = await first!.ack().catch((error: Error) => error);
  must(!error, `A panorama that takes 60 ms could not be acknowledged: ${error?.message}`);
  await ann.receive(); // and dies
  const back = async () => (await bob.receive())?.attempt === 2;
  await until(back, "The panorama of a dead worker did not come back within 1.5 s", 1_500);
});
