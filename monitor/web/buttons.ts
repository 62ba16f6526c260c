/**
 * What the buttons of the pages do. Each is a form of ours, checked as one, and leads back to a page.
 *
 * @module
 */
import type { Context, Hono } from "hono";
import { asking, badRequest, notFound } from "../server/problem.ts";
import type { Parts } from "./app.ts";
import { verbsOf } from "./operations.ts";
import { stateOf } from "./pages/messages.tsx";
import { pathOf } from "./parts.tsx";
import { type Env, type Form, formOf, isHere } from "./requests.ts";

/** Their routes. */
export function buttonRoutes(app: Hono<Env>, { guard, operations, watch }: Parts): void {
  /** A button: a form of ours, and then back to a page. */
  const button = (path: string, press: (c: Context<Env>, form: Form) => Promise<string>) => {
    app.post(path, async (c) => {
      const form = await formOf(c);
      guard.checkForm(c.get("visitor"), form["_token"]);
      const to = await press(c, form);
      watch.forget();
      return c.redirect(to, 303);
    });
  };
  for (const how of ["pause", "resume"] as const) {
    button(`/queues/:name/${how}`, async (c) => {
      const name = c.req.param("name")!;
      await (await watch.queue(name))[how]();
      return pathOf("queues", name);
    });
  }
  for (const how of ["pause", "resume"] as const) {
    button(`/queues/:name/workers/:consumer/${how}`, async (c, form) => {
      const [name, consumer] = [c.req.param("name")!, c.req.param("consumer")!];
      const queue = await watch.queue(name);
      const there = await asking(() => queue[`${how}Consumer`](consumer));
      if (!there) {
        throw notFound(`There is no worker ${JSON.stringify(consumer)} in ${JSON.stringify(name)}`);
      }
      return isHere(form["back"]) ? form["back"] : "/workers";
    });
  }
  button("/queues/:name/plan", async (c, form) => {
    const name = c.req.param("name")!;
    const state = stateOf(form["state"]);
    const [verb = "", scope = ""] = (form["act"] ?? "").split(":");
    const known = verbsOf(state).find((one) => one === verb);
    if (!known) {
      throw badRequest(
        `${JSON.stringify(verb)} is nothing that can be done with ${state} messages`,
      );
    }
    if (scope !== "selected" && scope !== "matching") {
      throw badRequest(`There is no scope ${JSON.stringify(scope)}`);
    }
    const ids = form.ids;
    if (scope === "selected" && ids.length === 0) throw badRequest("No message is selected");
    const tasks = (await watch.registered(name)).kind === "tasks";
    const operation = operations.plan(await watch.queue(name), {
      queue: name,
      verb: known,
      state,
      query: scope === "matching" ? form["q"] ?? "" : "",
      ...(scope === "selected" && { ids }),
    }, { tasks });
    return pathOf("operations", operation.id);
  });
  button("/operations/:id/run", (c, form) => {
    const perSecond = form["perSecond"] ? Number(form["perSecond"]) : undefined;
    if (perSecond !== undefined && !(perSecond > 0)) {
      throw badRequest(
        `perSecond must be a number above 0, but is ${JSON.stringify(form["perSecond"])}`,
      );
    }
    const most = form["most"] ? Number(form["most"]) : undefined;
    if (most !== undefined && !(Number.isInteger(most) && most >= 1)) {
      throw badRequest(
        `most must be a whole number from 1, but is ${JSON.stringify(form["most"])}`,
      );
    }
    operations.run(c.req.param("id")!, {
      ...(perSecond !== undefined && { perSecond }),
      ...(most !== undefined && { most }),
    });
    return Promise.resolve(pathOf("operations", c.req.param("id")!));
  });
  button("/operations/:id/stop", (c) => {
    operations.stop(c.req.param("id")!);
    return Promise.resolve(pathOf("operations", c.req.param("id")!));
  });
}
