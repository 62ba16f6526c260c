/**
 * A client that works under the accounts of `tools/acl.ts`: what enqueues goes out as the producer, what
 * only looks as the dashboard, everything else as the worker. The suite of the queues with leases runs on
 * such clients, so that a right that is missing fails a test.
 *
 * On a server that somebody gave us by REDIS_URL no accounts are made, and the client is what it was.
 *
 * @module
 */
import { type CommandArgument, connect, type RedisClient } from "@workshop/redis-patterns";
import type { NodeClient } from "../redis/client.ts";
import { LEASED_SCRIPTS } from "../queue/leased_scripts.ts";
import { consumersScript } from "../queue/presence.ts";
import { statsScript } from "../queue/stats.ts";
import { type Role, ROLES, rulesOf } from "../tools/acl.ts";
import { ownServer } from "./support.ts";

const PASSWORD = "for tests";

const producing = Object.values(LEASED_SCRIPTS).map(({ enqueue }) => enqueue);
const looking = [
  ...Object.values(LEASED_SCRIPTS).flatMap(({ counts, peek }) => [counts, peek]),
  ...[statsScript, consumersScript],
];
const told = (scripts: { sha: string; text: string }[]) =>
  new Set(scripts.flatMap(({ sha, text }) => [sha, text]));
const PRODUCES = told(producing);
const LOOKS = told(looking);

function roleOf([command, script]: readonly CommandArgument[]): Role {
  if (command === "LPUSH" || command === "PUBLISH") return "producer";
  if (command !== "EVALSHA" && command !== "EVAL") return "worker";
  if (PRODUCES.has(String(script))) return "producer";
  return LOOKS.has(String(script)) ? "dashboard" : "worker";
}

// Before any test: a fault in one must not hit this.
if (ownServer) {
  await using redis = await connect(ownServer);
  for (const role of ROLES) {
    await redis.sendCommand(["ACL", "SETUSER", role, "on", `>${PASSWORD}`, ...rulesOf(role)]);
  }
}

const known = new WeakMap<RedisClient, RedisClient>();

/** The same client, under the accounts. */
export function underRoles(client: RedisClient): RedisClient {
  if (!ownServer) return client;
  if (!known.has(client)) known.set(client, new RoleClient(client as NodeClient));
  return known.get(client)!;
}

class RoleClient implements NodeClient {
  readonly #client: NodeClient;
  readonly #as = new Map<Role, Promise<NodeClient>>();

  constructor(client: NodeClient) {
    this.#client = client;
    client.on("end", () => this.#as.clear());
  }

  get isOpen(): boolean {
    return this.#client.isOpen;
  }

  get isReady(): boolean {
    return this.#client.isReady;
  }

  get options(): object | undefined {
    return this.#client.options;
  }

  connect(): Promise<unknown> {
    return this.#client.connect();
  }

  close(): Promise<unknown> {
    return this.#client.close();
  }

  destroy(): void {
    this.#client.destroy();
  }

  // deno-lint-ignore no-explicit-any -- as NodeClient has it
  duplicate(overrides?: any): NodeClient {
    return this.#client.duplicate({ ...overrides, username: "worker", password: PASSWORD });
  }

  // deno-lint-ignore no-explicit-any -- as NodeClient has it
  async sendCommand(args: readonly CommandArgument[], options?: any): Promise<unknown> {
    const role = roleOf(args);
    let opening = this.#as.get(role);
    if (!opening) {
      this.#as.set(role, opening = this.#open(role));
      opening.catch(() => this.#as.delete(role)); // the next command tries again
    }
    return await (await opening).sendCommand(args, options);
  }

  subscribe: NodeClient["subscribe"] = (...args) => this.#client.subscribe(...args);
  pSubscribe: NodeClient["pSubscribe"] = (...args) => this.#client.pSubscribe(...args);
  unsubscribe: NodeClient["unsubscribe"] = (...args) => this.#client.unsubscribe(...args);
  sSubscribe: NodeClient["sSubscribe"] = (...args) => this.#client.sSubscribe(...args);
  sUnsubscribe: NodeClient["sUnsubscribe"] = (...args) => this.#client.sUnsubscribe(...args);
  pUnsubscribe: NodeClient["pUnsubscribe"] = (...args) => this.#client.pUnsubscribe(...args);
  on: NodeClient["on"] = (...args) => this.#client.on(...args);
  off: NodeClient["off"] = (...args) => this.#client.off(...args);

  async #open(role: Role): Promise<NodeClient> {
    const client = this.#client.duplicate({ username: role, password: PASSWORD });
    client.on("error", () => {}); // whoever waits for a reply hears of it
    this.#client.on("end", () => client.isOpen && client.destroy());
    await client.connect();
    return client;
  }
}
