import { serve } from "#ex/22_capstone.ts";
import { exercise, must } from "./room.ts";

/** What `chaos` throws. */
class Killed extends Error {}

/** More places than anybody calls `chaos` at. */
const PLACES = 10;

exercise("22", async ({ redis, look, name }) => {
  const books = { charged: name("charged"), points: name("points") };
  let crashes = 0;
  for (let place = 1; place <= PLACES; place++) {
    const order = `order_${place}`;
    // The worker dies at this place; the order comes back, and then once more: its ack was lost.
    for (const diesAt of [place, Infinity, Infinity]) {
      let at = 0;
      const chaos = () => {
        if (++at === diesAt) throw new Killed();
      };
      await serve(redis, books, { order, euros: 20 + place, chaos }).catch((error) => {
        if (!(error instanceof Killed)) throw error;
        crashes++;
      });
    }
    const euros = `${20 + place}`;
    const [paid, got] = await Promise.all([
      look.hGet(books.charged, order),
      look.hGet(books.points, order),
    ]);
    must(paid === euros, `${order} has paid ${paid ?? "nothing"} instead of ${euros}`);
    must(
      got === euros,
      `${order} has paid ${paid} and has ${got ?? "no"} points: ` +
        `its worker died at the ${nth(place)} of its chances`,
    );
  }
  must(crashes >= 3, `chaos() was called at ${crashes} places only: let it be where it was`);
});

function nth(place: number): string {
  return ["first", "second", "third"][place - 1] ?? `${place}th`;
}
