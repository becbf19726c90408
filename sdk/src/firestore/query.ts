import type { Client, Condition, Json, Order, Query as WireQuery, Row } from "../index.js";
import type { DocumentSnapshot, QueryDocumentSnapshot } from "./snapshot.js";
import { Timestamp, invalid, type DocumentData, type OrderByDirection, type WhereFilterOp } from "./values.js";

export interface FirestoreOptions {
  /** The key's columns of tables whose key is not `id`. */
  readonly keys?: { readonly [table: string]: readonly string[] };
  /** The column that a parent in a path filters by; `companies` gives `company_id` without it. null: none, since the token says it. */
  readonly parents?: { readonly [collection: string]: string | null };
}

export interface Firestore {
  readonly type: "firestore";
  readonly client: Client;
  readonly options: FirestoreOptions;
}

/** Firestore's face for a connection. */
export function getFirestore(client: Client, options: FirestoreOptions = {}): Firestore {
  return { type: "firestore", client, options };
}

export interface FirestoreDataConverter<T> {
  toFirestore(model: T): DocumentData;
  fromFirestore(snapshot: QueryDocumentSnapshot, options?: object): T;
}

export const keyMark = "\u0000key";

/** Stands for the document's id in where and orderBy. */
export class FieldPath {
  constructor(readonly field: string) {}
}
export function documentId(): FieldPath {
  return new FieldPath(keyMark);
}
export const fieldOf = (f: string | FieldPath) => (typeof f === "string" ? f : f.field);

type Ordering = readonly [field: string, direction: OrderByDirection];
type Bound = { readonly inclusive: boolean; readonly document?: boolean; readonly values: readonly unknown[] };

export interface Spec {
  readonly db: Firestore;
  readonly table: string;
  readonly path: string;
  readonly filters: readonly Filter[];
  readonly orders: readonly Ordering[];
  readonly limit?: number;
  readonly last?: boolean;
  readonly start?: Bound;
  readonly end?: Bound;
}

/** A query over the rows of a table. Immutable. */
export class Query<T = DocumentData> {
  readonly type: "query" | "collection" = "query";
  constructor(
    readonly spec: Spec,
    readonly converter: FirestoreDataConverter<T> | null = null,
  ) {}
  get firestore(): Firestore {
    return this.spec.db;
  }
  withConverter<U>(converter: FirestoreDataConverter<U>): Query<U> {
    return new Query(this.spec, converter);
  }
}

export class CollectionReference<T = DocumentData> extends Query<T> {
  override readonly type = "collection";
  get id(): string {
    return this.spec.table;
  }
  get path(): string {
    return this.spec.path;
  }
  override withConverter<U>(converter: FirestoreDataConverter<U>): CollectionReference<U> {
    return new CollectionReference(this.spec, converter);
  }
}

export class DocumentReference<T = DocumentData> {
  readonly type = "document";
  constructor(
    readonly parent: CollectionReference<T>,
    readonly id: string,
  ) {}
  get path(): string {
    return `${this.parent.path}/${this.id}`;
  }
  get firestore(): Firestore {
    return this.parent.firestore;
  }
  withConverter<U>(converter: FirestoreDataConverter<U>): DocumentReference<U> {
    return new DocumentReference(this.parent.withConverter(converter), this.id);
  }
}

/** The column that a parent's id filters by: companies/1/... is company_id == 1. */
function parentColumn(db: Firestore, collection: string): string | null {
  const given = db.options.parents?.[collection];
  return given !== undefined ? given : collection.replace(/ies$/, "y").replace(/(ch|sh|x|ss)es$/, "$1").replace(/([^s])s$/, "$1") + "_id";
}

export function collection(parent: Firestore | DocumentReference | CollectionReference, path: string, ...more: string[]): CollectionReference {
  const db = parent.type === "firestore" ? parent : parent.firestore;
  const full = [...(parent.type === "firestore" ? [] : [parent.path]), path, ...more].join("/");
  const parts = full.split("/").filter((p) => p !== "");
  if (parts.length % 2 === 0) {
    invalid(`${full} is the path of a document: a collection has an odd number of parts`);
  }
  return new CollectionReference({ db, table: parts.at(-1) as string, path: full, filters: parentFilters(db, full), orders: [] });
}

/** What a collection's path filters by. */
export function parentFilters(db: Firestore, path: string): Filter[] {
  const parts = path.split("/").filter((p) => p !== "");
  const filters: Filter[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const column = parentColumn(db, parts[i] as string);
    if (column !== null) {
      filters.push(where(column, "==", parts[i + 1]));
    }
  }
  return filters;
}

export function doc<T = DocumentData>(parent: CollectionReference<T>, id: string): DocumentReference<T>;
export function doc(parent: Firestore | DocumentReference, path: string, ...more: string[]): DocumentReference;
export function doc(parent: Firestore | DocumentReference | CollectionReference, path: string, ...more: string[]): DocumentReference {
  if (parent.type === "collection") {
    return new DocumentReference(parent, path);
  }
  const parts = [path, ...more].join("/").split("/").filter((p) => p !== "");
  const id = parts.pop() ?? "";
  return new DocumentReference(collection(parent, parts.join("/")), id);
}

/** A condition, or several. */
export class Filter {
  readonly type = "where";
  constructor(
    readonly op: WhereFilterOp | "and" | "or",
    readonly field: string,
    readonly value: unknown,
    readonly parts: readonly Filter[] = [],
  ) {}
}

const sizes: { readonly [op: string]: number } = { in: 30, "array-contains-any": 30, "not-in": 10 };

export function where(field: string | FieldPath, op: WhereFilterOp, value: unknown): Filter {
  const most = sizes[op];
  if (most !== undefined && (!Array.isArray(value) || value.length === 0 || value.length > most)) {
    invalid(`'${op}' takes a list of 1 to ${most} values`);
  }
  if (value === undefined) {
    invalid(`where('${fieldOf(field)}', '${op}', undefined): a value is needed`);
  }
  return new Filter(op, fieldOf(field), value);
}
export function and(...parts: Filter[]): Filter {
  return new Filter("and", "", null, parts);
}
export function or(...parts: Filter[]): Filter {
  return new Filter("or", "", null, parts);
}

type Constraint = Filter | ((s: Spec) => Spec);
export type QueryConstraint = Constraint;

export function orderBy(field: string | FieldPath, direction: OrderByDirection = "asc"): Constraint {
  return (s) => {
    if (s.start || s.end) {
      invalid("orderBy comes before startAt, startAfter, endAt and endBefore");
    }
    return { ...s, orders: [...s.orders, [fieldOf(field), direction]] };
  };
}
const count = (name: string, n: number, last: boolean): Constraint => {
  if (!Number.isInteger(n) || n <= 0) {
    invalid(`${name}(${n}): a positive whole number is needed`);
  }
  return (s) => ({ ...s, limit: n, last });
};
export function limit(n: number): Constraint {
  return count("limit", n, false);
}
export function limitToLast(n: number): Constraint {
  return count("limitToLast", n, true);
}
/** A document, whose values stand for themselves. */
const isSnapshot = (v: unknown): v is DocumentSnapshot => typeof v === "object" && v !== null && "raw" in v && "ref" in v;

const bound = (side: "start" | "end", inclusive: boolean) =>
  (...values: unknown[]): Constraint =>
  (s) => {
    const [first] = values;
    if (isSnapshot(first)) {
      const keys = keyColumns(s);
      const columns = [...ordersOf(s).flatMap(([f]) => (f === keyMark ? keys : [f])), ...keys];
      return { ...s, [side]: { inclusive, document: true, values: [...new Set(columns)].map((c) => first.raw?.[c] ?? (keys.includes(c) ? keyValues(s, first.id)[keys.indexOf(c)] : null)) } };
    }
    return { ...s, [side]: { inclusive, values } };
  };
export const startAt = bound("start", true);
export const startAfter = bound("start", false);
export const endAt = bound("end", true);
export const endBefore = bound("end", false);

export function query<T>(q: Query<T>, ...constraints: Constraint[]): Query<T> {
  const spec = constraints.reduce<Spec>((s, c) => (c instanceof Filter ? { ...s, filters: [...s.filters, c] } : c(s)), q.spec);
  if (spec.last && spec.orders.length === 0) {
    invalid("limitToLast needs an orderBy");
  }
  if ([spec.start, spec.end].some((b) => b && !b.document) && spec.orders.length === 0 && q.type !== "query" && !constraints.some((c) => c instanceof Filter)) {
    invalid("startAt, startAfter, endAt and endBefore need an orderBy before them");
  }
  checkNotIn(spec.filters);
  return new Query(spec, q.converter);
}

function flat(filters: readonly Filter[]): Filter[] {
  return filters.flatMap((f) => (f.parts.length > 0 ? [f, ...flat(f.parts)] : [f]));
}

function checkNotIn(filters: readonly Filter[]): void {
  const ops = flat(filters).map((f) => f.op);
  if (ops.includes("not-in") && ops.some((op) => ["or", "in", "!=", "array-contains-any"].includes(op))) {
    invalid("'not-in' can't stand beside 'or', 'in', '!=' or 'array-contains-any'");
  }
}

export function queryEqual<T>(a: Query<T>, b: Query<T>): boolean {
  return a.spec.db.client === b.spec.db.client && a.converter === b.converter && JSON.stringify(wire(a.spec)) === JSON.stringify(wire(b.spec));
}
export function refEqual<T>(a: DocumentReference<T> | CollectionReference<T>, b: DocumentReference<T> | CollectionReference<T>): boolean {
  return a.type === b.type && a.path === b.path && a.firestore.client === b.firestore.client;
}

const keyColumns = (s: Spec) => s.db.options.keys?.[s.table] ?? ["id"];

/** The values of a key from a document's id, and back. */
function keyValues(s: Spec, id: string): string[] {
  const columns = keyColumns(s);
  const values = columns.length === 1 ? [id] : id.split(",").map(decodeURIComponent);
  return values.length === columns.length ? values : invalid(`the id ${id} of ${s.table} has to have ${columns.length} parts, for ${columns.join(", ")}`);
}
export function idOf(s: Spec, row: Row): string {
  const values = keyColumns(s).map((c) => String(row[c]));
  return values.length === 1 ? (values[0] as string) : values.map(encodeURIComponent).join(",");
}

const uneven = ["<", "<=", ">", ">="];
const others = ["!=", "not-in"];

/** Fields that a query is ordered by because of a condition. != and not-in of text are none: enums, arrays and json have no order. */
function ordersBy(f: Filter): boolean {
  const ordered = (v: unknown) => typeof v === "number" || v instanceof Date || v instanceof Timestamp;
  return uneven.includes(f.op) || (others.includes(f.op) && [f.value].flat().every(ordered));
}

/** The order that a query has: fields with an inequality follow those that are given. */
function ordersOf(s: Spec): Ordering[] {
  const orders = [...s.orders];
  const direction = orders.at(-1)?.[1] ?? "asc";
  const more = flat(s.filters).filter(ordersBy).map((f) => f.field);
  const keyLast = (a: string, b: string) => Number(a === keyMark) - Number(b === keyMark) || (a < b ? -1 : 1);
  for (const field of [...new Set(more)].sort(keyLast)) {
    if (!orders.some(([f]) => f === field)) {
      orders.push([field, direction]);
    }
  }
  return orders;
}

/** A value as the server takes it. */
function out(v: unknown): Json {
  if (v instanceof Timestamp) {
    return v.toString();
  }
  if (v instanceof Date) {
    return v.toISOString();
  }
  if (v instanceof DocumentReference) {
    return v.id;
  }
  if (Array.isArray(v)) {
    return v.map(out);
  }
  return v as Json;
}

function condition(s: Spec, f: Filter): Condition {
  if (f.op === "and" || f.op === "or") {
    const parts = f.parts.map((p) => condition(s, p));
    return f.op === "and" ? { and: parts } : { or: parts };
  }
  if (f.field === keyMark) {
    const ids = (Array.isArray(f.value) ? f.value : [f.value]).map((v) => (v instanceof DocumentReference ? v.id : String(v)));
    const columns = keyColumns(s);
    if (columns.length === 1) {
      return [columns[0] as string, f.op, Array.isArray(f.value) ? ids : (ids[0] as string)];
    }
    if (f.op !== "==" && f.op !== "in") {
      return invalid(`documentId() of ${s.table}, whose key has ${columns.length} columns, takes == and in`);
    }
    return { or: ids.map((id) => ({ and: keyValues(s, id).map((v, i) => [columns[i] as string, "==", v] as const) })) };
  }
  return [f.field, f.op, out(f.value)];
}

/** The query as the server takes it. */
export function wire(s: Spec): WireQuery {
  const orders: Order[] = ordersOf(s).flatMap(([f, d]): Order[] => (f === keyMark ? keyColumns(s).map((c) => [c, d] as const) : [[f, d] as const]));
  const values = (b: Bound) => (b.document ? b.values.map(out) : b.values.flatMap((v, i) => (ordersOf(s)[i]?.[0] === keyMark ? keyValues(s, v instanceof DocumentReference ? v.id : String(v)) : [out(v)])));
  return {
    table: s.table,
    ...(s.filters.length > 0 && { where: s.filters.map((f) => condition(s, f)) }),
    orderBy: orders,
    ...(s.limit !== undefined && (s.last ? { limitToLast: s.limit } : { limit: s.limit })),
    ...(s.start && { [s.start.inclusive ? "startAt" : "startAfter"]: values(s.start) }),
    ...(s.end && { [s.end.inclusive ? "endAt" : "endBefore"]: values(s.end) }),
  };
}
