import type { Code } from "./errors.js";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** A row as the server sends it. Types for one's own tables: `walwire types`. */
export type Row = { readonly [column: string]: Json };

type Operator =
  | "=="
  | "!="
  | "<"
  | "<="
  | ">"
  | ">="
  | "in"
  | "not-in"
  | "array-contains"
  | "array-contains-any"
  | "is-null"
  | "starts-with";

export type Condition =
  | readonly [column: string, operator: Operator, value: Json]
  | { readonly and: readonly Condition[] }
  | { readonly or: readonly Condition[] }
  | { readonly not: Condition };

export type Order =
  | string
  | readonly [column: string, direction: "asc" | "desc"]
  | readonly [column: string, direction: "asc" | "desc", nulls: "nulls-first" | "nulls-last"];

/** A live query, as docs/protocol.md has it. */
export interface Query {
  readonly table: string;
  readonly columns?: readonly string[];
  readonly where?: readonly Condition[];
  readonly orderBy?: readonly Order[];
  readonly limit?: number;
  readonly limitToLast?: number;
  readonly startAt?: readonly Json[];
  readonly startAfter?: readonly Json[];
  readonly endAt?: readonly Json[];
  readonly endBefore?: readonly Json[];
}

/** What events to be told of. */
export interface EventQuery {
  /** Names or patterns: `appointment.created`, `appointment.*`, `*`. */
  readonly names: readonly string[];
  /** Rooms, as in `branch:1`; the whole company without them. */
  readonly rooms?: readonly string[];
  /** A time (RFC 3339): also what was committed since then. */
  readonly since?: string;
}

/** A named event. */
export interface Event<R extends object = Row> {
  readonly event: string;
  readonly id: string;
  readonly position: string;
  readonly time: string;
  readonly table: string;
  readonly key: Row;
  readonly row?: R;
  readonly old?: Partial<R>;
  readonly changed?: readonly string[];
  /** Of an event of several rows. */
  readonly count?: number;
  readonly keys?: readonly Row[];
}

/** Events may be missing between two positions. */
export interface Gap {
  readonly event: "gap";
  readonly table?: string;
  readonly from?: string;
  readonly to?: string;
  readonly since?: string;
  readonly until?: string;
  readonly because: string;
}

/** Tells a gap from an event. */
export function isGap(e: Event | Gap): e is Gap {
  return e.event === "gap";
}

export interface Column {
  readonly name: string;
  /** PostgreSQL's name of the type. */
  readonly type: string;
}

export interface Snapshot {
  readonly token?: string;
  readonly key?: readonly string[];
  readonly columns?: readonly Column[];
  readonly rows: readonly Row[];
  readonly order?: readonly string[];
}

/** One subscription's part of a data frame. */
export interface Update {
  readonly id: number;
  readonly reset?: boolean;
  readonly resumed?: boolean;
  readonly loading?: boolean;
  readonly snapshot?: Snapshot;
  readonly added?: readonly Row[];
  readonly modified?: readonly Row[];
  readonly removed?: readonly Row[];
  readonly added_order?: readonly string[];
  readonly modified_order?: readonly string[];
  readonly names?: readonly string[];
  readonly events?: readonly (Event | Gap)[];
}

export interface DataFrame {
  readonly type: "data";
  readonly position: string;
  readonly time?: string;
  readonly cursor?: string;
  readonly more?: boolean;
  readonly subscriptions: readonly Update[];
}

/** A frame of the server. */
export type Frame =
  | DataFrame
  | { readonly type: "welcome"; readonly expires?: string; readonly position: string; readonly user: string; readonly company: string; readonly roles: readonly string[]; readonly key?: string; readonly frame_bytes?: number }
  | { readonly type: "error"; readonly id?: number; readonly wait?: number; readonly code: Code; readonly message: string; readonly retry_ms?: number }
  | { readonly type: "waited"; readonly id: number; readonly position: string }
  | { readonly type: "reconnect"; readonly after_ms: number }
  | { readonly type: "close"; readonly code: number; readonly reason: string }
  | { readonly type: "expiring" | "renewed"; readonly expires?: string }
  | { readonly type: "unsubscribed" | "pong"; readonly id?: number };

/** Joins the parts of a frame that was sent in several. */
export function join(parts: readonly Update[]): Update[] {
  const joined: Update[] = [];
  for (const u of parts) {
    const last = joined.at(-1);
    if (last?.id !== u.id) {
      joined.push(u);
      continue;
    }
    const list = <T>(a: readonly T[] | undefined, b: readonly T[] | undefined) => (a || b ? [...(a ?? []), ...(b ?? [])] : undefined);
    const snapshot = u.snapshot && last.snapshot ? { ...last.snapshot, rows: [...last.snapshot.rows, ...u.snapshot.rows], order: list(last.snapshot.order, u.snapshot.order) ?? [] } : (last.snapshot ?? u.snapshot);
    joined[joined.length - 1] = {
      ...last,
      ...(snapshot && { snapshot }),
      added: list(last.added, u.added) ?? [],
      modified: list(last.modified, u.modified) ?? [],
      removed: list(last.removed, u.removed) ?? [],
      added_order: list(last.added_order, u.added_order) ?? [],
      modified_order: list(last.modified_order, u.modified_order) ?? [],
      events: list(last.events, u.events) ?? [],
    };
  }
  return joined;
}
