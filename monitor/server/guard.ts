/**
 * Who may do what: decided here, on the server, before any page or program is reached.
 *
 * 1. **Host**: only names that are ours, or a page elsewhere could reach us by a name of its own that it
 *    lets point here (DNS rebinding).
 * 2. **Origin**: a change comes from a page of ours, or from no page at all (curl).
 * 3. **Token**: where there is one, as `Authorization: Bearer`, or as a session cookie after signing in.
 * 4. **Read-only**: no changes at all.
 * 5. **Forms** carry a value that only a page of ours can know.
 *
 * @module
 */
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { badRequest, Problem } from "./problem.ts";

const COOKIE = "redis_patterns_session";

/** Names under which a machine reaches itself. */
const LOOPBACK = ["localhost", "127.0.0.1", "[::1]"];

/** How a guard decides. */
export interface GuardOptions {
  /** Who may come in; everybody if there is none. */
  token: string | undefined;
  /** Further names of this server, without port. */
  hosts: readonly string[];
  /** Whether nothing may be changed. */
  readOnly: boolean;
}

/** Who is asking. */
export interface Visitor {
  /** The value that forms of this visitor carry. */
  readonly formToken: string;
  /** Sets the cookie, for one who has none yet. */
  readonly setCookie?: string;
}

/** See the module. */
export class Guard {
  /** Whether nothing may be changed. */
  readonly readOnly: boolean;
  /** Whether one has to sign in. */
  readonly signsIn: boolean;
  readonly #token: string | undefined;
  readonly #hosts: ReadonlySet<string>;
  readonly #secret: Uint8Array;

  /** Decides by these. */
  constructor({ token, hosts, readOnly }: GuardOptions) {
    this.#token = token;
    this.#hosts = new Set([...LOOPBACK, ...hosts].map((host) => host.toLowerCase()));
    this.readOnly = readOnly;
    this.signsIn = token !== undefined;
    // With a token, sessions outlive a restart and end when it is changed.
    this.#secret = token === undefined ? randomBytes(32) : digest(`session ${token}`);
  }

  /**
   * Whether the request may come near at all.
   *
   * @throws {Problem} 421 for a foreign host, 403 for a change from a foreign page.
   */
  checkSource(request: Request): void {
    const host = request.headers.get("host") ?? new URL(request.url).host;
    const name = host.replace(/:\d+$/, "").toLowerCase();
    if (!this.#hosts.has(name)) {
      throw new Problem({
        status: 421,
        kind: "foreign-host",
        title: "Not this server",
        detail: `This server does not answer to the name ${JSON.stringify(name)}`,
      });
    }
    if (isSafe(request)) return;
    const origin = request.headers.get("origin");
    const site = request.headers.get("sec-fetch-site");
    const isOurs = origin === null || hostOf(origin) === host.toLowerCase();
    if (isOurs && (site === null || site === "same-origin" || site === "none")) return;
    throw new Problem({
      status: 403,
      kind: "foreign-origin",
      title: "Not from here",
      detail: `Changes from ${origin ?? "another page"} are refused`,
    });
  }

  /** Who is asking, or undefined if they have to sign in first. */
  visitor(request: Request): Visitor | undefined {
    const cookie = readCookie(request);
    const session = cookie && this.#verified(cookie);
    if (session) return { formToken: this.#mac(`form ${session}`) };
    if (this.#token !== undefined && !this.hasToken(bearer(request))) return undefined;
    const fresh = this.session();
    return { formToken: this.#mac(`form ${this.#verified(fresh.value)}`), setCookie: fresh.cookie };
  }

  /** A session of its own. */
  session(): { value: string; cookie: string } {
    const id = randomBytes(16).toString("hex");
    const value = `${id}.${this.#mac(`session ${id}`)}`;
    return { value, cookie: `${COOKIE}=${value}; Path=/; HttpOnly; SameSite=Strict` };
  }

  /** Ends it. */
  endSession(): string {
    return `${COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0`;
  }

  /** Whether this is the token. It takes as long for one that is nearly right. */
  hasToken(token: string | undefined): boolean {
    if (this.#token === undefined || token === undefined) return false;
    return timingSafeEqual(digest(token), digest(this.#token));
  }

  /**
   * Whether something may be changed.
   *
   * @throws {Problem} 403 if nothing may.
   */
  checkWritable(): void {
    if (!this.readOnly) return;
    throw new Problem({
      status: 403,
      kind: "read-only",
      title: "Read-only",
      detail: "This server only shows; start it with --write to change something",
    });
  }

  /**
   * Whether a form is one of ours.
   *
   * @throws {Problem} 403 if not.
   */
  checkForm(visitor: Visitor, given: unknown): void {
    if (typeof given !== "string") throw badRequest("The form has no _token");
    if (timingSafeEqual(digest(given), digest(visitor.formToken))) return;
    throw new Problem({
      status: 403,
      kind: "stale-form",
      title: "An old page",
      detail: "This page is from before the server was started: reload it and try again",
    });
  }

  #verified(cookie: string): string | undefined {
    const [id = "", mac = ""] = cookie.split(".");
    const isOurs = timingSafeEqual(digest(mac), digest(this.#mac(`session ${id}`)));
    return isOurs ? id : undefined;
  }

  #mac(text: string): string {
    return createHmac("sha256", this.#secret).update(text).digest("hex").slice(0, 40);
  }
}

/** Whether a request asks for nothing to be changed. */
export function isSafe(request: Request): boolean {
  return request.method === "GET" || request.method === "HEAD";
}

/** Of equal length, whatever the text is, so that comparing tells nothing. */
function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

function bearer(request: Request): string | undefined {
  return /^Bearer +(\S+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
}

function readCookie(request: Request): string | undefined {
  const cookies = (request.headers.get("cookie") ?? "").split(/; */);
  return cookies.find((one) => one.startsWith(`${COOKIE}=`))?.slice(COOKIE.length + 1);
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined; // "null" is no URL
}
