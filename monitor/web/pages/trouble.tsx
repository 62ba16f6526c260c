/** @jsxImportSource hono/jsx */
/**
 * Pages for when there is nothing to show: Redis is away, there is no such thing, one has to sign in.
 *
 * @module
 */
import type { Problem } from "../../server/problem.ts";
import type { Page } from "../layout.tsx";
import { Empty, zoned } from "../parts.tsx";

/**
 * Redis is away: why, since when, and what would help. It is live, so it goes when Redis is back. `heardAt`:
 * when a page was last made with what Redis said; 0 if none was.
 */
export function awayPage(detail: string, heardAt: number): Page {
  return {
    title: "Redis is away",
    status: 503,
    live: (
      <div class="card" data-away="" role="alert">
        <Empty title="Redis cannot be reached">
          <p>{detail}</p>
          {heardAt > 0 && <p>It was last heard of at {zoned(heardAt)}.</p>}
          <p>This page tries again by itself.</p>
          <pre>{`redis-cli -u $REDIS_URL ping   # is it there?\ndeno task redis                # or start one here`}</pre>
        </Empty>
      </div>
    ),
  };
}

/** Something is wrong with what was asked for. */
export function problemPage({ details }: Problem, bare = false): Page {
  return {
    title: details.title,
    status: details.status as 404,
    bare,
    rest: (
      <div class="card" role="alert">
        <Empty alone title={details.title}>
          <p>{details.detail}</p>
          <p>
            <a href="/">To the queues</a>
          </p>
        </Empty>
      </div>
    ),
  };
}

/** Where the token is asked for. */
export function loginPage({ wrong, next }: { wrong: boolean; next: string }): Page {
  return {
    title: "Sign in",
    bare: true,
    rest: (
      <div class="card door">
        <header>
          <h1>Sign in</h1>
        </header>
        <form class="body stack" method="post" action="/login">
          <input type="hidden" name="next" value={next} />
          <label class="field">
            The token this server was started with
            <input
              type="password"
              name="token"
              autocomplete="current-password"
              required
              autofocus
            />
          </label>
          {wrong && <p class="note bad" role="alert">That is not the token.</p>}
          <button type="submit" class="primary">Sign in</button>
        </form>
      </div>
    ),
  };
}
