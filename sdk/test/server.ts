import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createHmac, randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer, request as httpRequest, type Server as HttpServer } from "node:http";
import { createServer, connect as connectSocket, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";

const root = join(import.meta.dirname, "..", "..");

interface Ready {
  readonly url: string;
  readonly database_url: string;
  readonly tokens: Readonly<Record<"owner" | "receptionist" | "staff" | "client" | "other_company_owner", string>>;
}

/** A walwire with a PostgreSQL and demo data of its own: `walwire dev`. */
export class Server {
  readonly db: pg.Client;
  private constructor(
    readonly ready: Ready,
    private readonly child: ChildProcess,
    private readonly dir: string,
  ) {
    this.db = new pg.Client({ connectionString: ready.database_url });
  }

  static async start(): Promise<Server> {
    const dir = mkdtempSync(join(tmpdir(), "walwire-sdk-"));
    const file = join(dir, "ready.json");
    const child = spawn(binary(), ["dev", "--listen", "127.0.0.1:0", "--no-simulate", "--ready-file", file], { stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    child.stderr!.on("data", (d: Buffer) => (log += d.toString()));
    await until("walwire dev to be ready", () => {
      if (child.exitCode !== null) {
        throw new Error(`walwire dev has ended:\n${log}`);
      }
      return existsSync(file) && readFileSync(file, "utf8").trim().endsWith("}");
    }, 60_000).catch((e: unknown) => {
      child.kill("SIGINT");
      throw e;
    });
    const server = new Server(JSON.parse(readFileSync(file, "utf8")) as Ready, child, dir);
    await server.db.connect();
    return server;
  }

  get url(): string {
    return this.ready.url;
  }

  /** Runs SQL, and gives the first row. */
  async sql(text: string, values: unknown[] = []): Promise<Record<string, unknown>> {
    const result: pg.QueryResult | pg.QueryResult[] = values.length > 0 ? await this.db.query(text, values) : await this.db.query(text);
    const last = Array.isArray(result) ? result.at(-1) : result;
    return (last?.rows[0] as Record<string, unknown> | undefined) ?? {};
  }

  /** The position after all that has been committed. */
  async lsn(): Promise<string> {
    return (await this.sql("SELECT pg_current_wal_insert_lsn()::text AS lsn"))["lsn"] as string;
  }

  async stop(): Promise<void> {
    await this.db.end();
    await ending(this.child, "SIGINT");
    rmSync(this.dir, { recursive: true, force: true });
  }
}

const over = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

/** Ends a process, unless it has ended, and waits for that. */
async function ending(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (over(child)) {
    return;
  }
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await ended;
}

/** A `walwire serve` on the database of a `walwire dev`, which can be killed and started again. Its tokens are made here. */
export class Serve {
  readonly url: string;
  readonly admin: string;
  readonly #secret = randomBytes(32).toString("hex");
  readonly #dir = mkdtempSync(join(tmpdir(), "walwire-serve-"));
  #child: ChildProcess | undefined;
  private constructor(
    private readonly server: Server,
    ports: readonly number[],
  ) {
    [this.url, this.admin] = ports.map((p) => `http://127.0.0.1:${p}`) as [string, string];
    const config = readFileSync(join(root, "walwire.example.yaml"), "utf8")
      .replace("\nslot: walwire\n", "\nslot: walwire_sdk\n")
      .replace("\non_slot_loss: stop\n", "\non_slot_loss: recreate\n")
      .replace("clock_skew: 30s", "clock_skew: 0s");
    writeFileSync(join(this.#dir, "walwire.yaml"), config);
  }

  static async start(server: Server): Promise<Serve> {
    const s = new Serve(server, [await freePort(), await freePort()]);
    await s.again();
    return s;
  }

  /** Starts it where it was. */
  async again(): Promise<void> {
    const env = {
      ...process.env,
      WALWIRE_DATABASE_URL: this.server.ready.database_url,
      WALWIRE_TOKEN_SECRET: this.#secret,
      WALWIRE_LISTEN: new URL(this.url).host,
      WALWIRE_ADMIN_LISTEN: new URL(this.admin).host,
    };
    const child = spawn(binary(), ["serve", "--config", join(this.#dir, "walwire.yaml")], { env, stdio: ["ignore", "ignore", "pipe"] });
    let log = "";
    child.stderr!.on("data", (d: Buffer) => (log += d.toString()));
    this.#child = child;
    await until("walwire serve to be ready", async () => {
      if (child.exitCode !== null) {
        throw new Error(`walwire serve has ended:\n${log}`);
      }
      return (await fetch(`${this.url}/readyz`).catch(() => undefined))?.ok === true;
    }, 60_000);
  }

  /** What an init system sees as SIGKILL, or asks for with SIGTERM. */
  async end(signal: "SIGKILL" | "SIGTERM"): Promise<void> {
    await ending(this.#child!, signal);
  }

  /** Starts it unless it runs. */
  async up(): Promise<void> {
    if (over(this.#child!)) {
      await this.again();
    }
  }

  async stop(): Promise<void> {
    await this.end("SIGTERM");
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /** A token like that of the demo's, good for some seconds. */
  token(who: keyof Ready["tokens"], seconds: number): string {
    const claims = JSON.parse(Buffer.from(this.server.ready.tokens[who].split(".")[1]!, "base64url").toString()) as object;
    const part = (o: object) => Buffer.from(JSON.stringify(o)).toString("base64url");
    const text = `${part({ alg: "HS256", typ: "JWT", kid: "main" })}.${part({ ...claims, exp: Date.now() / 1000 + seconds })}`;
    return `${text}.${createHmac("sha256", this.#secret).update(text).digest("base64url")}`;
  }

  /** A metric's value. */
  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.admin}/metrics`)).text();
    return Number(text.split("\n").find((line) => line.startsWith(`${name} `))?.slice(name.length) ?? NaN);
  }
}

/** One address for the demo's page, from `walwire dev`, and a `walwire serve`, with tokens that end soon. */
export class Front {
  readonly url: string;
  private constructor(private readonly listener: HttpServer) {
    this.url = `http://127.0.0.1:${(listener.address() as AddressInfo).port}`;
  }

  static async to(server: Server, serve: Serve, seconds: number): Promise<Front> {
    const target = (path: string) => new URL(path.startsWith("/v1/") ? serve.url : server.url);
    const listener = createHttpServer((request, response) => {
      if (request.url === "/demo/people") {
        const names = Object.keys(server.ready.tokens) as (keyof Ready["tokens"])[];
        response.end(JSON.stringify(names.map((name) => ({ name, label: name, token: serve.token(name, seconds) }))));
        return;
      }
      const { hostname, port } = target(request.url!);
      const onward = httpRequest({ hostname, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      request.pipe(onward);
    });
    listener.on("upgrade", (request, near, head) => {
      const { hostname, port } = target(request.url!);
      const far = connectSocket(Number(port), hostname);
      far.write(`${request.method} ${request.url} HTTP/1.1\r\n`);
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        far.write(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}\r\n`);
      }
      far.write("\r\n");
      far.write(head);
      for (const [a, b] of [[near, far], [far, near]] as const) {
        a.on("error", () => {});
        a.on("close", () => b.destroy());
        a.pipe(b);
      }
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    return new Front(listener);
  }

  close(): void {
    this.listener.closeAllConnections();
    this.listener.close();
  }
}

async function freePort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return port;
}

let built = "";

/** The program, built once. */
function binary(): string {
  if (built === "") {
    built = process.env["WALWIRE_BINARY"] ?? join(root, "bin", "walwire");
    if (!process.env["WALWIRE_BINARY"]) {
      execFileSync("go", ["build", "-o", built, "./cmd/walwire"], { cwd: root, stdio: "inherit" });
    }
  }
  return built;
}

/** Waits until ok. */
export async function until(what: string, ok: () => boolean | Promise<boolean>, patience = 20_000): Promise<void> {
  const end = Date.now() + patience;
  while (!(await ok())) {
    if (Date.now() > end) {
      throw new Error(`waited in vain for ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** What stands between a client and the server, and can be cut. */
export class Network {
  #sockets = new Set<Socket>();
  #refusing = false;
  #accepted = 0;
  private constructor(
    readonly url: string,
    private readonly listener: ReturnType<typeof createServer>,
  ) {}

  static async to(url: string): Promise<Network> {
    const { hostname, port } = new URL(url);
    let self: Network;
    const listener = createServer((near) => {
      if (self.#refusing) {
        near.destroy();
        return;
      }
      self.#accepted++;
      const far = connectSocket(Number(port), hostname);
      for (const [a, b] of [[near, far], [far, near]] as const) {
        self.#sockets.add(a);
        a.on("error", () => {});
        a.on("close", () => {
          self.#sockets.delete(a);
          b.destroy();
        });
        a.pipe(b);
      }
    });
    await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
    self = new Network(`http://127.0.0.1:${(listener.address() as AddressInfo).port}`, listener);
    return self;
  }

  /** How many connections there have been. */
  get accepted(): number {
    return this.#accepted;
  }

  /** Ends all connections; no new ones until mend. */
  cut(): void {
    this.#refusing = true;
    this.#sockets.forEach((s) => s.destroy());
  }

  mend(): void {
    this.#refusing = false;
  }

  close(): void {
    this.cut();
    this.listener.close();
  }
}
