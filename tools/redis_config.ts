/**
 * What a private server is told, and how to see that it is ready: its `redis.conf`, and a bare
 * question over a socket, without a client library. Nothing here outlives its call.
 *
 * @module
 */

/** Paths of PEM files for TLS. */
export interface TlsFiles {
  /** The server's certificate. */
  cert: string;
  /** Its private key. */
  key: string;
  /** The authority that signed it. */
  ca: string;
}

/** How a private server is to be. */
export interface RedisServerOptions {
  /** Port on 127.0.0.1. @default a free one */
  port?: number;
  /** Keep data across {@linkcode RedisServer.kill} and restart. @default {false} */
  aof?: boolean;
  /** More lines of `redis.conf`; the last word is theirs. */
  config?: Record<string, string | string[]>;
  /** Password of the default user. @default none */
  password?: string;
  /** Be the replica of this server. */
  replicaOf?: { host: string; port: number };
  /** Speak TLS instead of plain text; clients need no certificate. */
  tls?: TlsFiles;
  /** Be a node of a cluster: the port that is found has one beside it for the others. */
  bus?: boolean;
  /** Be a Sentinel: what it is told beside the address it listens on. */
  sentinel?: string[];
}

/** `ps` shows the folder: the janitor looks for it. */
const TITLE: [string, string] = ["set-proc-title", "no"];

/** The text of `redis.conf` for a server in `dir` that binds `bind`. */
export function redisConf(
  options: RedisServerOptions,
  { dir, port, bind }: { dir: string; port: number; bind: string },
): string {
  const { aof = false, config = {}, password, replicaOf, sentinel, tls } = options;
  if (sentinel) {
    const own = [
      `bind ${bind}`,
      "protected-mode no",
      `port ${port}`,
      `dir ${JSON.stringify(dir)}`,
      TITLE.join(" "),
    ];
    return [...own, ...sentinel].map((line) => `${line}\n`).join("");
  }
  const lines: [string, string | string[]][] = [
    ["bind", bind],
    ["protected-mode", "no"], // bound to, or published on, the loopback interface only
    ["port", tls ? "0" : `${port}`],
    ["dir", JSON.stringify(dir)],
    TITLE,
    ["save", '""'],
    ["repl-diskless-sync-delay", "0"], // a replica need not wait 5 s for others to join
    ["appendonly", aof ? "yes" : "no"],
    ["appendfsync", "always"],
  ];
  if (password !== undefined) {
    lines.push(["requirepass", JSON.stringify(password)]);
    lines.push(["masterauth", JSON.stringify(password)]); // whoever it may come to follow has the same
  }
  if (replicaOf) lines.push(["replicaof", `${replicaOf.host} ${replicaOf.port}`]);
  if (tls) {
    lines.push(["tls-port", `${port}`], ["tls-auth-clients", "no"]);
    lines.push(["tls-cert-file", JSON.stringify(tls.cert)]);
    lines.push(["tls-key-file", JSON.stringify(tls.key)]);
    lines.push(["tls-ca-cert-file", JSON.stringify(tls.ca)]);
  }
  lines.push(...Object.entries(config));
  return lines.flatMap(([name, value]) => [value].flat().map((v) => `${name} ${v || '""'}\n`))
    .join("");
}

/** Whether the server of the folder `dir` (and not another one) answers on `port` and is loaded. */
export async function isReady(
  { password, tls }: RedisServerOptions,
  { dir, port }: { dir: string; port: number },
): Promise<boolean> {
  const commands = [["INFO", "server"], ["PING"]];
  if (password !== undefined) commands.unshift(["AUTH", password]);
  const answer = await ask(port, commands, tls).catch(() => "");
  return answer.includes(`config_file:${dir}/`) && answer.endsWith("+PONG\r\n");
}

/** Sends `commands` and returns the raw replies up to that of a final PING, or to an error. */
async function ask(port: number, commands: string[][], tls?: TlsFiles): Promise<string> {
  const connection = await open(port, tls);
  const timer = setTimeout(() => connection.close(), 1_000);
  try {
    await connection.write(new TextEncoder().encode(commands.map(encode).join("")));
    const buffer = new Uint8Array(16_384);
    let text = "";
    while (!/(^|\n)(\+PONG|-.*)\r\n$/.test(text)) {
      const length = await connection.read(buffer);
      if (length === null) break;
      text += new TextDecoder().decode(buffer.subarray(0, length));
    }
    return text;
  } finally {
    clearTimeout(timer);
    try {
      connection.close();
    } catch { /* the timer was faster */ }
  }
}

async function open(port: number, tls?: TlsFiles): Promise<Deno.Conn> {
  const address = { hostname: "127.0.0.1", port };
  if (!tls) return await Deno.connect(address);
  const [ca, cert, key] = await Promise.all(
    [tls.ca, tls.cert, tls.key].map((path) => Deno.readTextFile(path)),
  );
  // The name in the certificate is the business of whoever tests TLS, not of readiness.
  const unsafelyDisableHostnameVerification = true;
  const caCerts = [ca!];
  return await Deno.connectTls({
    ...address,
    caCerts,
    cert: cert!,
    key: key!,
    unsafelyDisableHostnameVerification,
  });
}

function encode(command: string[]): string {
  const bytes = (word: string) => new TextEncoder().encode(word).length;
  return `*${command.length}\r\n` +
    command.map((word) => `$${bytes(word)}\r\n${word}\r\n`).join("");
}
