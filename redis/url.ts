/**
 * The URL of a Redis: which one is meant, whether it is one, and with which account. No error repeats a password.
 *
 * @module
 */
import process from "node:process";
import { redactUrl } from "./errors.ts";
import { show } from "./show.ts";

/** Credentials beside a URL. */
interface Credentials {
  username?: string;
  password?: string;
}

/** The URL as it was given, if it is one of a Redis. */
export function checkUrl(url: string): string {
  if (typeof url !== "string") throw new TypeError(`url must be a string, but is ${show(url)}`);
  if (/^unix:\/\//.test(url)) return url;
  // Parsed here, since the error of URL itself contains what it was given.
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed?.protocol !== "redis:" && parsed?.protocol !== "rediss:") {
    throw new TypeError(
      `Not a Redis URL: ${JSON.stringify(redactUrl(url))} ` +
        `(expected redis://host:port, rediss://host:port or unix:///path)`,
    );
  }
  if (!/^\/?\d*$/.test(parsed.pathname + parsed.search + parsed.hash)) {
    throw new TypeError(
      `What follows host and port in ${JSON.stringify(redactUrl(url))} must be the number of a ` +
        `database, and special characters of a password must be escaped (or use the password option)`,
    );
  }
  return url;
}

/** A name without a password would not be told to Redis: whoever gave it would be the default account. */
export function checkCredentials(url: string, { username, password }: Credentials): void {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const name = username ?? decodeURIComponent(parsed?.username ?? "");
  if (name === "" || name === "default" || (password ?? parsed?.password)) return;
  throw new TypeError(
    `The account ${
      JSON.stringify(name)
    } needs a password: without one Redis would take you for "default"`,
  );
}

/** The client takes credentials of a URL before those beside it, so they go into the URL. */
export function withCredentials(url: string, username?: string, password?: string): string {
  if (username === undefined && password === undefined || url.startsWith("unix:")) return url;
  const parsed = new URL(url);
  if (username !== undefined) parsed.username = encodeURIComponent(username);
  if (password !== undefined) parsed.password = encodeURIComponent(password);
  return parsed.href;
}

/** $REDIS_URL, but only where that asks nobody for a permission. */
export function environmentUrl(): string | undefined {
  const { Deno } = globalThis as {
    Deno?: { permissions: { querySync(what: object): { state: string } } };
  };
  const query = { name: "env", variable: "REDIS_URL" };
  if (Deno && Deno.permissions.querySync(query).state !== "granted") return undefined;
  return process.env["REDIS_URL"] || undefined;
}
