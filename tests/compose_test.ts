/** `compose.yaml`, for those who prefer Docker: it says what the course needs, and opens nothing. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { parse } from "yaml";
import { ROOT } from "../tools/example.ts";

Deno.test("compose.yaml starts the Redis that the tools would start, for this machine only", async () => {
  const text = await Deno.readTextFile(new URL("compose.yaml", ROOT));
  const { services } = parse(text) as {
    services: Record<string, { image: string; command: string; ports: string[] }>;
  };
  assertEquals(Object.keys(services), ["redis"]);
  const { image, command, ports } = services["redis"]!;
  const provision = await Deno.readTextFile(new URL("tools/provision.ts", ROOT));
  assertStringIncludes(provision, `image: "${image}"`);
  assertEquals(ports, ["127.0.0.1:6379:6379"]);
  assertMatch(command, /^redis-server .*--maxmemory-policy noeviction$/);
});
