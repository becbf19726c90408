// Clients of the torture test (internal/torture), many in one process. It is told what to
// do on stdin and says what its listeners were shown on stdout, a JSON value a line.
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { connect, type Client, type Condition, type Query, type Row, type WalwireError } from "../src/index.js";
import { and, collection, getFirestore, onSnapshot, or, query as build, where, FirestoreError, type Query as FirestoreQuery, type QueryConstraint, type WhereFilterOp } from "../src/firestore.js";

globalThis.WebSocket ??= WebSocket as unknown as typeof globalThis.WebSocket;

interface Order {
  readonly client: number;
  readonly url: string;
  readonly token: string;
  readonly queries: readonly Query[];
  readonly keys: { readonly [table: string]: readonly string[] };
  /** How many live queries, at most. */
  readonly most: number;
}

/** What a listener was told: the rows, and the steps from the list before to the one after. */
interface Told {
  readonly id: number;
  loading: boolean;
  readonly added: Row[];
  readonly modified: Row[];
  readonly removed: Row[];
  readonly steps: { readonly type: Step["type"]; readonly row: number; readonly old: number; readonly new: number }[];
}

interface Step {
  readonly type: "added" | "modified" | "removed";
  readonly row: Row;
  readonly oldIndex: number;
  readonly newIndex: number;
}

const say = (what: object) => process.stdout.write(JSON.stringify(what) + "\n");
const after = (ms: number, f: () => void) => setTimeout(f, ms * (0.5 + Math.random()));

/** The same query in Firestore's words; undefined where they have none. */
function inFirestore(client: Client, q: Query, keys: Order["keys"]): FirestoreQuery | undefined {
  if (q.columns || q.orderBy || q.limit || q.limitToLast) {
    return undefined;
  }
  const filter = (c: Condition): QueryConstraint | undefined => {
    if ("not" in c) {
      return undefined;
    }
    if ("and" in c || "or" in c) {
      const parts = ("and" in c ? c.and : c.or).map(filter);
      return parts.includes(undefined) ? undefined : ("and" in c ? and : or)(...(parts as Parameters<typeof or>));
    }
    const [column, operator, value] = c as readonly [string, string, unknown];
    if (operator === "starts-with") {
      return undefined;
    }
    return operator === "is-null" ? where(column, value ? "==" : "!=", null) : where(column, operator as WhereFilterOp, value);
  };
  const filters = (q.where ?? []).map(filter);
  if (filters.includes(undefined)) {
    return undefined;
  }
  try {
    return build(collection(getFirestore(client, { keys }), q.table), ...(filters as QueryConstraint[]));
  } catch (e) {
    if (e instanceof FirestoreError) {
      return undefined; // a combination that Firestore refuses
    }
    throw e;
  }
}

/** A frontend: it holds live queries, ends some, begins others, and says what each shows. */
class Actor {
  readonly #order: Order;
  readonly #client: Client;
  #open = new Map<number, () => void>();
  #loading = new Set<number>();
  #told = new Map<number, Told>();
  #next = 1;
  #final = "";
  #settled = false;

  constructor(order: Order) {
    this.#order = order;
    this.#client = connect({ url: order.url, token: () => Promise.resolve(order.token) });
    this.#client.onSync(() => this.#flush());
    this.#client.onConnection(() => {
      if (this.#client.connection.status === "disconnected") {
        after(500, () => this.#client.reconnect());
      }
    });
    this.#change();
  }

  /** Shows everything up to a position, says so, and changes nothing any more. */
  end(lsn: string): void {
    this.#final = lsn;
    this.#fill();
    setTimeout(() => {
      if (!this.#settled) {
        const { connection, position } = this.#client;
        say({ client: this.#order.client, fault: `not at the end after 110 s: ${JSON.stringify({ connection, position, open: [...this.#open.keys()], loading: [...this.#loading] })}` });
      }
    }, 110_000);
    const ask = () => this.#client.wait(lsn, 60_000).then(() => this.#settle(), () => after(500, ask));
    ask();
  }

  #settle(): void {
    if (this.#open.size === 0 || this.#loading.size > 0 || this.#client.connection.status !== "connected") {
      after(100, () => this.#settle());
      return;
    }
    this.#settled = true;
    this.#flush();
    say({ client: this.#order.client, settled: true });
  }

  /** Now and then something is ended, and something begun. */
  #change(): void {
    if (this.#final === "") {
      const [first] = this.#open.keys();
      if (first !== undefined && Math.random() < 0.4) {
        this.#end(first);
      }
    }
    this.#fill();
    after(1500, () => this.#change());
  }

  #fill(): void {
    const wanted = this.#final === "" ? 1 + Math.floor(Math.random() * this.#order.most) : 1;
    while (this.#open.size < wanted) {
      this.#begin(Math.floor(Math.random() * this.#order.queries.length));
    }
  }

  #end(id: number): void {
    this.#open.get(id)?.();
    this.#forget(id);
    say({ client: this.#order.client, end: id });
  }

  #forget(id: number): void {
    this.#open.delete(id);
    this.#loading.delete(id);
    this.#told.delete(id);
  }

  #begin(index: number): void {
    const id = this.#next++;
    const q = this.#order.queries[index] as Query;
    const shown: Row[] = [];
    const failed = (error: Pick<WalwireError, "code" | "message">) => {
      const stop = this.#open.get(id);
      this.#forget(id);
      stop?.(); // else it would go on with the connection
      say({ client: this.#order.client, end: id, code: error.code, message: error.message });
    };
    const take = (steps: readonly Step[], rows: readonly Row[], loading: boolean) => {
      if (!this.#open.has(id)) {
        say({ client: this.#order.client, fault: `subscription ${id} was told something after its end` });
      }
      const told = this.#told.get(id) ?? { id, loading, added: [], modified: [], removed: [], steps: [] };
      this.#told.set(id, told);
      told.loading = loading;
      this.#loading[loading ? "add" : "delete"](id);
      for (const s of steps) {
        const [was] = s.oldIndex >= 0 ? shown.splice(s.oldIndex, 1) : [];
        if (s.newIndex >= 0) {
          shown.splice(s.newIndex, 0, s.row);
        }
        if (s.type === "removed" && was !== s.row) {
          say({ client: this.#order.client, fault: `subscription ${id}: the row at ${s.oldIndex} is not the one that is removed` });
        }
        told.steps.push({ type: s.type, row: told[s.type].push(s.row) - 1, old: s.oldIndex, new: s.newIndex });
      }
      if (shown.length !== rows.length || shown.some((row, i) => row !== rows[i])) {
        say({ client: this.#order.client, fault: `subscription ${id}: the changes do not lead to the rows` });
      }
    };
    const other = Math.random() < 0.8 ? inFirestore(this.#client, q, this.#order.keys) : undefined;
    this.#loading.add(id);
    this.#open.set(id, () => {});
    say({ client: this.#order.client, begin: id, query: index, firestore: other !== undefined });
    const stop = other
      ? onSnapshot(other, { includeMetadataChanges: true }, {
          next: (s) => take(s.docChanges().map((c) => ({ ...c, row: c.doc.raw as Row })), s.docs.map((d) => d.raw as Row), s.metadata.fromCache),
          error: (e) => failed(e as Pick<WalwireError, "code" | "message">),
        })
      : this.#client.liveQuery(q).subscribe((r, changes) => (r.error ? failed(r.error) : take(changes(), r.rows, r.status !== "live")));
    if (this.#open.has(id)) {
      this.#open.set(id, stop);
    }
  }

  #flush(): void {
    if (this.#open.size > 0 && this.#client.position !== "") {
      say({ client: this.#order.client, position: this.#client.position, subscriptions: [...this.#told.values()] });
      this.#told.clear();
    }
  }
}

const actors: Actor[] = [];
createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line) as Order | { readonly final: string };
    if ("final" in order) {
      actors.forEach((a) => a.end(order.final));
    } else {
      actors.push(new Actor(order));
    }
  })
  .on("close", () => process.exit(0));
