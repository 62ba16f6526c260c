/**
 * The watch page in a real Chromium: cards are seen in their old and in their new place, beside them the
 * commands that moved them; and where it gets too fast, counts.
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import {
  connect,
  type ConnectedClient,
  ListQueue,
  Publisher,
  ReliableQueue,
} from "@workshop/redis-patterns";
import { findChromium } from "../tools/chromium.ts";
import { openWatch } from "../tools/watch/server.ts";
import { eventually, serverTest } from "./support.ts";

let browser: Browser | undefined;

Deno.test.beforeAll(async () => {
  const { command, args, env } = await findChromium();
  browser ??= await chromium.launch({
    executablePath: command,
    args,
    env: { ...Deno.env.toObject(), ...env },
  });
});
Deno.test.afterAll(() => browser?.close());

interface Fixture {
  page: Page;
  redis: ConnectedClient;
  url: string;
  /** The label of each card that is in the element, in its order. */
  cards(selector: string): Promise<string[]>;
  /** What the commands column says, newest last. */
  commands(): Promise<string[]>;
}

/** Defines a test with a page that watches the queue `q`, the stream `s` and the channel `c`. */
function watchTest(
  title: string,
  run: (fixture: Fixture) => Promise<void>,
  options: BrowserContextOptions = {},
): void {
  serverTest(title, async (server) => {
    const redis = await connect({ url: server.url });
    const watch = openWatch({
      url: server.url,
      port: 0,
      declared: { names: ["q", "s"], channels: ["c"] },
    });
    const wrong: string[] = [];
    const context = await browser!.newContext({
      viewport: { width: 1600, height: 1000 },
      ...options,
    });
    try {
      const page = await context.newPage();
      page.on("pageerror", (error) => wrong.push(error.message));
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) wrong.push(message.text());
      });
      await page.goto(watch.url);
      // The page listens when Redis has a second client that does: MONITOR is on.
      await eventually(
        async () =>
          assert(/cmd=monitor/.test(await redis.sendCommand(["CLIENT", "LIST"]) as string)),
        10_000,
      );
      const texts = (selector: string) => page.locator(selector).allTextContents();
      await run({
        page,
        redis,
        url: server.url,
        cards: (selector) =>
          page.locator(`${selector} [data-card]`).evaluateAll((all) =>
            // In the page, where an element has attributes; here its type depends on who else is checked along.
            all.map((one) =>
              (one as unknown as { getAttribute(name: string): string }).getAttribute("data-card")
            )
          ),
        commands: () => texts("#commands .lines code"),
      });
    } finally {
      await context.close();
      redis.destroy();
      await watch.close();
    }
    assertEquals(wrong, []);
  });
}

const LATER = 8_000;

watchTest(
  "a card of a LIST flies from the conveyor into the hand that popped it",
  async (fixture) => {
    const { redis, cards, commands, page } = fixture;
    await using queue = new ListQueue<unknown>(redis, "q");
    await queue.enqueueMany([{ task: "mail_1" }, { task: "mail_2" }]);
    await eventually(
      async () => assertEquals(await cards("[data-kind=LIST]"), ["mail_2", "mail_1"]),
      LATER,
    );
    const old = await page.locator("[data-card=mail_1]").boundingBox();
    const id = await page.locator("[data-card=mail_1]").getAttribute("id");
    assertEquals((await commands()).at(-1), "LPUSH q ‹mail_1› ‹mail_2›");

    await watchTransitions(page);
    await queue.receive();
    await eventually(async () => assertEquals(await cards("[data-worker]"), ["mail_1"]), LATER);
    assertEquals(await cards("[data-kind=LIST]"), ["mail_2"]);
    assertEquals((await commands()).at(-1), "RPOP q");
    const now = await page.locator("[data-card=mail_1]").boundingBox();
    assertEquals(await page.locator("[data-card=mail_1]").getAttribute("id"), id, "the same card");
    assertGreater(now!.y, old!.y + 40, "it is below the belt");
    assertGreater(await transitionsSeen(page), 0);
  },
);

watchTest(
  "a card of a ZSET passes the now line when its time comes, and goes on to the belt",
  async (fixture) => {
    const { redis, cards, commands, page } = fixture;
    await using queue = new ReliableQueue<unknown>(redis, "q");
    await queue.enqueue({ task: "soon" }, { delayMs: 2_500 });
    await queue.enqueue({ task: "late" }, { delayMs: 3_600_000 });
    const ladder = '[data-key="queue:{q}:delayed"]';
    await eventually(async () => assertEquals(await cards(ladder), ["soon", "late"]), LATER);
    const above = async (label: string) => {
      const [card, line] = await Promise.all([
        page.locator(`${ladder} [data-card=${label}]`).boundingBox(),
        page.locator("#now").boundingBox(),
      ]);
      return card!.y < line!.y;
    };
    assertEquals([await above("soon"), await above("late")], [false, false]);
    await eventually(
      async () => assertEquals([await above("soon"), await above("late")], [true, false]),
      LATER,
    );
    assert((await commands()).some((text) => /^ZADD …:delayed /.test(text)));

    const delivery = await queue.receive();
    await eventually(async () => assertEquals(await cards("[data-worker]"), ["soon"]), LATER);
    assertEquals(await cards(ladder), ["late"]);
    const lines = await commands();
    const at = lines.findLastIndex((text) => /^EVAL(SHA)? claim_list queue:\{q\}:ready/.test(text));
    assertGreater(at, -1, lines.join("\n"));
    const inLua = await page.locator("#commands .lua code").allTextContents();
    assert(inLua.some((text) => /^HSET …:leased /.test(text)), inLua.join("\n"));
    await delivery!.ack();
  },
);

watchTest(
  "a card of a STREAM flies into the tray of who read it, its shadow stays until XDEL",
  async (fixture) => {
    const { redis, cards, commands, page } = fixture;
    await redis.xGroupCreate("s", "printers", "0", { MKSTREAM: true });
    const first = await redis.xAdd("s", "*", { photo: "beach" });
    const second = await redis.xAdd("s", "*", { photo: "forest" });
    await eventually(async () => assertEquals(await cards(".ribbon"), ["beach", "forest"]), LATER);
    assertEquals((await commands()).at(-1), "XADD s * photo forest");
    assertEquals(await page.locator("[data-cursor=printers]").count(), 0);
    const old = await page.locator(".ribbon [data-card=beach]").boundingBox();
    await watchTransitions(page);

    await redis.xReadGroup("printers", "ann", { key: "s", id: ">" }, { COUNT: 1 });
    await eventually(
      async () => assertEquals(await cards("[data-consumer=ann]"), ["beach"]),
      LATER,
    );
    assertEquals(await cards(".ribbon"), ["beach", "forest"]);
    const now = await page.locator("[data-consumer=ann] [data-card=beach]").boundingBox();
    assertGreater(now!.y, old!.y + 40);
    assertEquals(await page.locator(`[data-entry="${first}"] [data-cursor=printers]`).count(), 1);
    assertEquals((await commands()).at(-1), "XREADGROUP GROUP printers ann COUNT 1 STREAMS s … +1");
    assertGreater(await transitionsSeen(page), 0);

    await redis.xAck("s", "printers", first);
    await eventually(async () => assertEquals(await cards("[data-consumer=ann]"), []), LATER);
    assertEquals(await cards(".ribbon"), ["beach", "forest"]); // XACK deletes nothing
    await redis.xDel("s", first);
    await eventually(async () => assertEquals(await cards(".ribbon"), ["forest"]), LATER);
    assertEquals((await commands()).slice(-2), [`XACK s printers ${first}`, `XDEL s ${first}`]);
    await redis.xReadGroup("printers", "bob", { key: "s", id: ">" }, { COUNT: 1 });
    await eventually(
      async () =>
        assertEquals(
          await page.locator(`[data-entry="${second}"] [data-cursor=printers]`).count(),
          1,
        ),
      LATER,
    );
  },
);

watchTest(
  "a card of pub/sub fans out to all who listen, and fades where nobody does",
  async (fixture) => {
    const { redis, url, cards, commands, page } = fixture;
    const publisher = new Publisher(redis);
    await publisher.publish("c", { status: "too early" });
    await eventually(async () => assertEquals(await cards(".deaf .mouth"), ["too early"]), LATER);
    assert((await page.locator(".mouth").textContent())!.includes("heard by 0"));

    const [ann, bob] = await Promise.all([connect({ url }), connect({ url })]);
    try {
      await ann.subscribe("c", () => {});
      await bob.pSubscribe("c*", () => {});
      await eventually(
        async () => assertEquals(await page.locator("[data-listener]").count(), 2),
        LATER,
      );
      await recordPlaces(page, "paid");
      await publisher.publish("c", { status: "paid" });
      await eventually(async () => assertEquals(await cards(".ears"), ["paid", "paid"]), LATER);
      assertEquals((await commands()).at(-1), "PUBLISH c ‹paid›");
      assertEquals((await placesSeen(page))[0], "mouth"); // before it was at the ears
      const [one, two] = await page.locator(".ears [data-card=paid]").all();
      assertLess((await one!.boundingBox())!.y, (await two!.boundingBox())!.y);
      assertEquals(new Set([await one!.getAttribute("id"), await two!.getAttribute("id")]).size, 2);
    } finally {
      ann.destroy();
      bob.destroy();
    }
  },
);

watchTest("two hundred moves a second become counts, and the page stays alive", async (fixture) => {
  const { redis, page } = fixture;
  await using queue = new ListQueue<number>(redis, "q");
  // The longest time in which the page did nothing, as the page itself sees it.
  await page.evaluate(`(() => {
    window.longest = 0;
    let last = performance.now();
    setInterval(() => { const now = performance.now(); window.longest = Math.max(window.longest, now - last); last = now }, 20);
  })()`);
  await watchTransitions(page);
  const until = performance.now() + 4_000;
  for (let n = 0; performance.now() < until; n += 3) {
    await queue.enqueueMany([n, n + 1, n + 2]);
    await queue.receive();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const waiting = await queue.counts();
  assertEquals(await page.locator("#scene").getAttribute("data-dense"), "true");
  assertEquals(await page.locator("[data-card]").count(), 0);
  const pace = Number(await page.locator("#pace b").textContent());
  assertGreater(pace, 100);
  await eventually(async () => {
    const shown = await page.locator("[data-kind=LIST] .count b").textContent();
    assertEquals(Number(shown!.replaceAll(",", "")), waiting.ready);
  }, LATER);
  assertLess(await page.evaluate("window.longest") as number, 1_000);
  assertLess(await transitionsSeen(page), 4); // but for the first moment nothing flew
  await eventually(
    async () => assertEquals(await page.locator("#scene").getAttribute("data-dense"), "false"),
    LATER,
  );
  assertGreater(await page.locator("[data-card]").count(), 5);
});

watchTest("who wants no motion gets none", async ({ redis, page, cards }) => {
  await using queue = new ListQueue<unknown>(redis, "q");
  await queue.enqueue({ task: "mail" });
  await eventually(async () => assertEquals(await cards("[data-kind=LIST]"), ["mail"]), LATER);
  const animation = await page.evaluate(`new Promise((done) => {
    const transition = document.startViewTransition(() => {});
    transition.ready.then(() => done(document.getAnimations().length));
  })`);
  assertEquals(animation, 0);
}, { reducedMotion: "reduce" });

watchTest("the picture goes on when Redis was restarted", async ({ redis, page, cards, url }) => {
  await using queue = new ListQueue<unknown>(redis, "q");
  await queue.enqueue({ task: "before" });
  await eventually(async () => assertEquals(await cards("[data-kind=LIST]"), ["before"]), LATER);
  const killer = await connect({ url });
  await killer.sendCommand(["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
  killer.destroy();
  await eventually(() => queue.enqueue({ task: "after" }), LATER);
  await eventually(
    async () => assertEquals((await cards("[data-kind=LIST]")).includes("after"), true),
    LATER,
  );
  assertEquals(await page.locator("[data-kind=LIST]").count(), 1);
});

/** Counts the View Transitions from now on. */
async function watchTransitions(page: Page): Promise<void> {
  await page.evaluate(`(() => {
    const real = document.startViewTransition.bind(document);
    window.transitions = 0;
    document.startViewTransition = (update) => { window.transitions++; return real(update) };
  })()`);
}

async function transitionsSeen(page: Page): Promise<number> {
  return await page.evaluate("window.transitions") as number;
}

/** Notes in which place a card is whenever the page changes. */
async function recordPlaces(page: Page, label: string): Promise<void> {
  await page.evaluate(`(() => {
    window.places = [];
    const note = () => {
      const card = document.querySelector('[data-card="${label}"]');
      const place = card && (card.closest(".mouth") ? "mouth" : "ears");
      if (place && window.places.at(-1) !== place) window.places.push(place);
    };
    new MutationObserver(note).observe(document.body, { subtree: true, childList: true, attributes: true });
  })()`);
}

async function placesSeen(page: Page): Promise<string[]> {
  return await page.evaluate("window.places") as string[];
}
