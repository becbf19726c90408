import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
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
    }, 60_000);
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
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGINT");
    await ended;
    rmSync(this.dir, { recursive: true, force: true });
  }
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
export async function until(what: string, ok: () => boolean, patience = 20_000): Promise<void> {
  const end = Date.now() + patience;
  while (!ok()) {
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
