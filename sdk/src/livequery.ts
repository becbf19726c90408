import type { WalwireError } from "./errors.js";
import type { Column, Query, Row, Update } from "./protocol.js";
import { Rows, changesBetween, type Change, type Entries } from "./rows.js";

export type Status = "loading" | "live" | "stale" | "error";

/** A live query as it stands. Another object whenever anything is another. */
export interface Result<R extends object = Row> {
  /** The rows, in the query's order. One that has not changed is the same object. */
  readonly rows: readonly R[];
  /** loading: nothing is known yet. stale: these were the rows when the connection was lost. error: there are none. */
  readonly status: Status;
  readonly error?: WalwireError;
  readonly entries: Entries<R>;
  /** What they consist of, as soon as that is known. */
  readonly columns: readonly Column[];
}

export type Listener<R extends object = Row> = (result: Result<R>, changes: () => Change<R>[]) => void;

/** Calls a listener; what it throws is the page's, and nobody else's. */
export function safely(listener: () => void): void {
  try {
    listener();
  } catch (e) {
    setTimeout(() => {
      throw e;
    });
  }
}

/** When an error that was known already is told: who asks again at once must not do so without end. */
export const unhurried = 1000;

/** A subscription as the connection keeps it. */
export interface Sub {
  readonly id: number;
  request(): object;
  /** Takes its part of a commit. */
  apply(u: Update): void;
  /** It has had its first entry on this connection. */
  here: boolean;
  /** The client shows what it had on the connection before. */
  shown: boolean;
  /** How often in a row the server has put it off. */
  refused?: number;
  at(cursor: string): void;
  /** Tells its listeners, once the commit is applied everywhere. */
  tell(): void;
  /** It has ended for good. */
  failed(error: WalwireError): void;
  /** The connection has, unless it is asked to connect again. */
  ended(error: WalwireError): void;
  lost(): void;
}

/** How long a query that nobody listens to is kept, for who comes back at once. */
const linger = 250;

/** What a live query needs of its connection. */
interface Home {
  id(): number;
  start(sub: Sub): void;
  stop(id: number): void;
  /** Makes it what others get for the same query, unless they have another one by now. */
  keep(): void;
  forget(): void;
}

const nothing: Result<never> = { rows: [], status: "loading", entries: [], columns: [] };

/** A query whose rows are kept up to date while somebody listens. */
export class LiveQuery<R extends object = Row> {
  readonly query: Query;
  readonly #home: Home;
  #rows = new Rows<R>();
  #result: Result<R> = nothing;
  #listeners = new Set<(r: Result<R>, last?: boolean) => void>();
  #sub: Sub | undefined;
  #ending: ReturnType<typeof setTimeout> | undefined;
  #dirty = false;

  constructor(query: Query, home: Home) {
    this.query = query;
    this.#home = home;
    this.#leave(); // unless somebody subscribes
  }

  /** What is known now. */
  get current(): Result<R> {
    return this.#result;
  }

  /** Calls listener with the rows, as soon as they are known, and at every change. After an error nothing follows. */
  subscribe(listener: Listener<R>): () => void {
    let before: Entries<R> = [];
    let last: Result<R> | undefined;
    let left = false;
    const hear = (r: Result<R>, end = false) => {
      if (left || r === last || !(end || this.#listeners.has(hear))) {
        return;
      }
      last = r;
      const then = before;
      let changes: Change<R>[] | undefined;
      before = r.entries;
      safely(() => listener(r, () => (changes ??= changesBetween(then, r.entries))));
    };
    this.#listeners.add(hear);
    clearTimeout(this.#ending);
    if (!this.#sub) {
      this.#begin();
    }
    if (this.#result.status !== "loading") {
      const first = () => hear(this.#result);
      if (this.#result.error) {
        setTimeout(first, unhurried);
      } else {
        queueMicrotask(first);
      }
    }
    return () => {
      left = true;
      if (this.#listeners.delete(hear) && this.#listeners.size === 0) {
        this.#leave();
      }
    };
  }

  /** The results, one after the other; those between are left out for who is slow. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Result<R>> {
    let wake = () => {};
    let latest: Result<R> | undefined;
    const stop = this.subscribe((r) => {
      latest = r;
      wake();
    });
    try {
      for (;;) {
        while (!latest) {
          await new Promise<void>((resolve) => (wake = resolve));
        }
        const r = latest as Result<R>;
        latest = undefined;
        if (r.error) {
          throw r.error;
        }
        yield r;
      }
    } finally {
      stop();
    }
  }

  #begin(): void {
    this.#home.keep(); // it may have been forgotten
    let token = "";
    let cursor = "";
    this.#rows = new Rows<R>();
    this.#set(nothing);
    const sub: Sub = {
      id: this.#home.id(),
      here: false,
      shown: false,
      request: () => ({ query: this.query, ...(token && cursor && { resume: { cursor, token } }) }),
      apply: (u) => {
        token = u.snapshot?.token ?? token;
        const status: Status = u.loading ? "loading" : "live";
        if (this.#rows.apply(u) || this.#result.status !== status) {
          this.#dirty = true;
        }
        sub.shown = true;
        this.#loading = u.loading === true;
      },
      at: (c) => (cursor = c),
      tell: () => {
        if (this.#dirty) {
          this.#set({ rows: this.#rows.list.map((e) => e.row), status: this.#loading ? "loading" : "live", entries: this.#rows.list, columns: this.#rows.columns });
          this.#tell();
        }
      },
      failed: (error) => {
        this.#sub = undefined;
        this.#set({ ...nothing, status: "error", error });
        const told = this.#result;
        const last = [...this.#listeners];
        this.#home.forget();
        this.#listeners.clear();
        last.forEach((l) => l(told, true));
      },
      ended: (error) => {
        // What was shown may not be allowed any more.
        token = cursor = "";
        sub.here = sub.shown = false;
        this.#rows = new Rows<R>();
        this.#set({ ...nothing, status: "error", error });
        this.#tell();
      },
      lost: () => {
        sub.here = false;
        if (this.#result.status === "live") {
          this.#dirty = true;
          this.#set({ ...this.#result, status: "stale" });
          this.#tell();
        }
      },
    };
    this.#sub = sub;
    this.#home.start(sub);
  }

  #loading = false;

  #set(r: Result<R>): void {
    this.#dirty = false;
    this.#result = r;
  }

  #tell(): void {
    [...this.#listeners].forEach((l) => l(this.#result));
  }

  #leave(): void {
    this.#ending = setTimeout(() => this.#end(), linger);
  }

  #end(): void {
    if (this.#sub) {
      this.#home.stop(this.#sub.id);
    }
    this.#sub = undefined;
    this.#set(nothing);
    this.#home.forget();
  }
}
