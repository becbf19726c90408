import { changesBetween, type Client, type Condition, type Entry, type Json, type LiveQuery, type Order, type Query as WireQuery, type Result, type Row, type WalwireError } from "./index.js";

export type DocumentData = { readonly [field: string]: unknown };
export type WhereFilterOp = "<" | "<=" | "==" | "!=" | ">=" | ">" | "array-contains" | "in" | "array-contains-any" | "not-in";
export type OrderByDirection = "asc" | "desc";

/** What went wrong, with Firestore's codes. */
export class FirestoreError extends Error {
  override readonly name = "FirebaseError";
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

const invalid = (message: string): never => {
  throw new FirestoreError("invalid-argument", message);
};

/** A point in time, to the nanosecond. PostgreSQL's are to the microsecond. */
export class Timestamp {
  constructor(
    readonly seconds: number,
    readonly nanoseconds: number,
  ) {}
  static now(): Timestamp {
    return Timestamp.fromMillis(Date.now());
  }
  static fromDate(date: Date): Timestamp {
    return Timestamp.fromMillis(date.getTime());
  }
  static fromMillis(ms: number): Timestamp {
    const seconds = Math.floor(ms / 1000);
    return new Timestamp(seconds, Math.floor((ms - seconds * 1000) * 1e6));
  }
  toMillis(): number {
    return this.seconds * 1000 + this.nanoseconds / 1e6;
  }
  toDate(): Date {
    return new Date(this.toMillis());
  }
  isEqual(other: Timestamp): boolean {
    return this.seconds === other.seconds && this.nanoseconds === other.nanoseconds;
  }
  /** RFC 3339 with microseconds, as the server has it. */
  toString(): string {
    return new Date(this.seconds * 1000).toISOString().replace(/\.000Z$/, `.${String(Math.floor(this.nanoseconds / 1000)).padStart(6, "0")}Z`);
  }
  toJSON(): string {
    return this.toString();
  }
  valueOf(): string {
    return String(this.seconds + 62135596800).padStart(12, "0") + "." + String(this.nanoseconds).padStart(9, "0");
  }
}

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

export interface SnapshotMetadata {
  readonly fromCache: boolean;
  readonly hasPendingWrites: false;
}

export interface FirestoreDataConverter<T> {
  toFirestore(model: T): DocumentData;
  fromFirestore(snapshot: QueryDocumentSnapshot, options?: object): T;
}

const keyMark = "\u0000key";

/** Stands for the document's id in where and orderBy. */
export class FieldPath {
  constructor(readonly field: string) {}
}
export function documentId(): FieldPath {
  return new FieldPath(keyMark);
}
const fieldOf = (f: string | FieldPath) => (typeof f === "string" ? f : f.field);

type Ordering = readonly [field: string, direction: OrderByDirection];
type Bound = { readonly inclusive: boolean; readonly values: readonly unknown[] };

interface Spec {
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
  const filters: Filter[] = [];
  for (let i = 0; i + 1 < parts.length; i += 2) {
    const column = parentColumn(db, parts[i] as string);
    if (column !== null) {
      filters.push(where(column, "==", parts[i + 1]));
    }
  }
  return new CollectionReference({ db, table: parts.at(-1) as string, path: full, filters, orders: [] });
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
  return (s) => ({ ...s, orders: [...s.orders, [fieldOf(field), direction]] });
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
const bound = (side: "start" | "end", inclusive: boolean) =>
  (...values: unknown[]): Constraint =>
  (s) => {
    const [first] = values;
    if (first instanceof DocumentSnapshot) {
      const fields = [...ordersOf(s).map(([f]) => f), keyMark].filter((f, i, all) => all.indexOf(f) === i);
      return { ...s, [side]: { inclusive, values: fields.flatMap((f) => (f === keyMark ? keyValues(s, first.id) : [first.raw?.[f] ?? null])) } };
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
  if ((spec.start || spec.end) && spec.orders.length === 0 && q.type !== "query" && !constraints.some((c) => c instanceof Filter)) {
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
  return keyColumns(s).length === 1 ? [id] : id.split(",").map(decodeURIComponent);
}
function idOf(s: Spec, row: Row): string {
  const values = keyColumns(s).map((c) => String(row[c]));
  return values.length === 1 ? (values[0] as string) : values.map(encodeURIComponent).join(",");
}

const uneven = ["<", "<=", ">", ">=", "!=", "not-in"];

/** The order that a query has: fields with an inequality follow those that are given. */
function ordersOf(s: Spec): Ordering[] {
  const orders = [...s.orders];
  const direction = orders.at(-1)?.[1] ?? "asc";
  const more = flat(s.filters).filter((f) => uneven.includes(f.op) && f.value !== null).map((f) => f.field);
  for (const field of [...new Set(more)].sort()) {
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
function wire(s: Spec): WireQuery {
  const orders: Order[] = ordersOf(s).flatMap(([f, d]): Order[] => (f === keyMark ? keyColumns(s).map((c) => [c, d] as const) : [[f, d] as const]));
  const values = (b: Bound) => b.values.map(out);
  return {
    table: s.table,
    ...(s.filters.length > 0 && { where: s.filters.map((f) => condition(s, f)) }),
    orderBy: orders,
    ...(s.limit !== undefined && (s.last ? { limitToLast: s.limit } : { limit: s.limit })),
    ...(s.start && { [s.start.inclusive ? "startAt" : "startAfter"]: values(s.start) }),
    ...(s.end && { [s.end.inclusive ? "endAt" : "endBefore"]: values(s.end) }),
  };
}

const instants = ["timestamp with time zone", "timestamp without time zone"];
const numbers = ["numeric", "bigint"];

/** A row as Firestore's users know values: times are Timestamps, numbers are numbers. */
function dataOf(row: Row, r: Pick<Result, "columns">): DocumentData {
  const data: { [field: string]: unknown } = {};
  for (const { name, type } of r.columns) {
    const v = row[name] as Json;
    const ms = typeof v === "string" && instants.includes(type) ? Date.parse(v.replace(/(\.\d{3})\d*/, "$1").replace(/([^Z])$/, "$1Z")) : NaN;
    if (!Number.isNaN(ms)) {
      const micros = Number(/\.(\d{6})/.exec(v as string)?.[1] ?? 0);
      data[name] = new Timestamp(Math.floor(ms / 1000), micros * 1000);
    } else {
      data[name] = typeof v === "string" && numbers.includes(type) ? Number(v) : v;
    }
  }
  return data;
}

/** A document, there or not. */
export class DocumentSnapshot<T = DocumentData> {
  readonly #converter: FirestoreDataConverter<T> | null;
  readonly #result: Pick<Result, "columns">;
  constructor(
    readonly ref: DocumentReference<T>,
    /** The row as the server sent it; undefined where there is none. */
    readonly raw: Row | undefined,
    readonly metadata: SnapshotMetadata,
    result: Pick<Result, "columns">,
    converter: FirestoreDataConverter<T> | null,
  ) {
    this.#result = result;
    this.#converter = converter;
  }
  get id(): string {
    return this.ref.id;
  }
  exists(): this is QueryDocumentSnapshot<T> {
    return this.raw !== undefined;
  }
  data(): T | undefined {
    if (this.raw === undefined) {
      return undefined;
    }
    if (this.#converter) {
      const plain = new QueryDocumentSnapshot(this.ref as unknown as DocumentReference, this.raw, this.metadata, this.#result, null);
      return this.#converter.fromFirestore(plain, {});
    }
    return dataOf(this.raw, this.#result) as T;
  }
  get(field: string | FieldPath): unknown {
    if (this.raw === undefined) {
      return undefined;
    }
    const name = fieldOf(field);
    return name === keyMark ? this.id : name.split(".").reduce<unknown>((v, part) => (v as DocumentData | null | undefined)?.[part], dataOf(this.raw, this.#result));
  }
}

/** A document that is there. */
export class QueryDocumentSnapshot<T = DocumentData> extends DocumentSnapshot<T> {
  override data(): T {
    return super.data() as T;
  }
}

export interface DocumentChange<T = DocumentData> {
  readonly type: "added" | "modified" | "removed";
  readonly doc: QueryDocumentSnapshot<T>;
  readonly oldIndex: number;
  readonly newIndex: number;
}

export interface SnapshotListenOptions {
  readonly includeMetadataChanges?: boolean;
}

export class QuerySnapshot<T = DocumentData> {
  readonly #before: readonly Entry[];
  readonly #result: Result;
  #docs: QueryDocumentSnapshot<T>[] | undefined;
  constructor(
    readonly query: Query<T>,
    readonly metadata: SnapshotMetadata,
    result: Result,
    before: readonly Entry[],
  ) {
    this.#result = result;
    this.#before = before;
  }
  get docs(): QueryDocumentSnapshot<T>[] {
    return (this.#docs ??= this.#result.rows.map((row) => this.#doc(row)));
  }
  get size(): number {
    return this.#result.rows.length;
  }
  get empty(): boolean {
    return this.size === 0;
  }
  forEach(f: (doc: QueryDocumentSnapshot<T>) => void): void {
    this.docs.forEach((d) => f(d));
  }
  docChanges(_options?: SnapshotListenOptions): DocumentChange<T>[] {
    return changesBetween(this.#before, this.#result.entries).map((c) => ({ type: c.type, doc: this.#doc(c.row), oldIndex: c.oldIndex, newIndex: c.newIndex }));
  }
  #doc(row: Row): QueryDocumentSnapshot<T> {
    const { spec, converter } = this.query;
    const parent = new CollectionReference<T>({ db: spec.db, table: spec.table, path: spec.path, filters: [], orders: [] }, converter);
    return new QueryDocumentSnapshot(new DocumentReference(parent, idOf(spec, row)), row, this.metadata, this.#result, converter);
  }
}

export interface Observer<S> {
  readonly next?: (snapshot: S) => void;
  readonly error?: (error: FirestoreError) => void;
  readonly complete?: () => void;
}

const metadataOf = (r: Result): SnapshotMetadata => ({ fromCache: r.status !== "live", hasPendingWrites: false });

/** The query that gives one document. */
function documentQuery<T>(ref: DocumentReference<T>): Query<T> {
  return new Query({ ...ref.parent.spec, filters: [...ref.parent.spec.filters, where(documentId(), "==", ref.id)] }, ref.parent.converter);
}

function documentOf<T>(ref: DocumentReference<T>, s: QuerySnapshot<T>, r: Result): DocumentSnapshot<T> {
  return s.docs[0] ?? new DocumentSnapshot(ref, undefined, s.metadata, r, ref.parent.converter);
}

export function onSnapshot<T>(query: Query<T>, observer: Observer<QuerySnapshot<T>>): () => void;
export function onSnapshot<T>(query: Query<T>, onNext: (snapshot: QuerySnapshot<T>) => void, onError?: (error: FirestoreError) => void, onCompletion?: () => void): () => void;
export function onSnapshot<T>(query: Query<T>, options: SnapshotListenOptions, observer: Observer<QuerySnapshot<T>>): () => void;
export function onSnapshot<T>(query: Query<T>, options: SnapshotListenOptions, onNext: (snapshot: QuerySnapshot<T>) => void, onError?: (error: FirestoreError) => void, onCompletion?: () => void): () => void;
export function onSnapshot<T>(ref: DocumentReference<T>, observer: Observer<DocumentSnapshot<T>>): () => void;
export function onSnapshot<T>(ref: DocumentReference<T>, onNext: (snapshot: DocumentSnapshot<T>) => void, onError?: (error: FirestoreError) => void, onCompletion?: () => void): () => void;
export function onSnapshot<T>(ref: DocumentReference<T>, options: SnapshotListenOptions, observer: Observer<DocumentSnapshot<T>>): () => void;
export function onSnapshot<T>(ref: DocumentReference<T>, options: SnapshotListenOptions, onNext: (snapshot: DocumentSnapshot<T>) => void, onError?: (error: FirestoreError) => void, onCompletion?: () => void): () => void;
export function onSnapshot<T>(target: Query<T> | DocumentReference<T>, ...rest: readonly unknown[]): () => void {
  const args = [...rest];
  const isObserver = (a: unknown): a is Observer<unknown> => typeof a === "object" && a !== null && ("next" in a || "error" in a || "complete" in a);
  const options = (typeof args[0] === "object" && !isObserver(args[0]) ? args.shift() : {}) as SnapshotListenOptions;
  const observer: Observer<unknown> = isObserver(args[0]) ? args[0] : ({ next: args[0], error: args[1] } as Observer<unknown>);
  const q = target.type === "document" ? documentQuery(target) : target;
  let before: readonly Entry[] = [];
  let told: SnapshotMetadata | undefined;
  let over = false;
  const stop = live(q).subscribe((r) => {
    if (over) {
      return;
    }
    if (r.error) {
      over = true;
      observer.error?.(errorFrom(r.error));
      return;
    }
    const metadata = metadataOf(r);
    const fresh = r.entries !== before;
    if (told === undefined ? metadata.fromCache : !fresh && !(options.includeMetadataChanges && told.fromCache !== metadata.fromCache)) {
      return;
    }
    told = metadata;
    const s = new QuerySnapshot(q, metadata, r, before);
    before = r.entries;
    observer.next?.(target.type === "document" ? documentOf(target, s, r) : s);
  });
  return () => {
    over = true;
    stop();
  };
}

function live(q: Query<unknown>): LiveQuery {
  return q.spec.db.client.liveQuery(wire(q.spec));
}

const errorFrom = (e: WalwireError) => new FirestoreError(e.code, e.message);

/** Calls f whenever all listeners have been told of a commit. */
export function onSnapshotsInSync(db: Firestore, f: () => void): () => void {
  return db.client.onSync(f);
}

function once<T, S>(q: Query<T>, make: (s: QuerySnapshot<T>, r: Result) => S): Promise<S> {
  return new Promise((resolve, reject) => {
    const stop = live(q).subscribe((r) => {
      if (r.error) {
        reject(errorFrom(r.error));
      } else if (r.status === "live") {
        resolve(make(new QuerySnapshot(q, metadataOf(r), r, []), r));
      } else {
        return;
      }
      queueMicrotask(() => stop());
    });
  });
}

export function getDocs<T>(q: Query<T>): Promise<QuerySnapshot<T>> {
  return once(q, (s) => s);
}
export function getDoc<T>(ref: DocumentReference<T>): Promise<DocumentSnapshot<T>> {
  return once(documentQuery(ref), (s, r) => documentOf(ref, s, r));
}

/** There are no writes: the application's API makes them. */
const refused = (name: string) => (): never => {
  throw new FirestoreError(
    "unimplemented",
    `${name}: clients don't write. Write through your API; where the page must show it before it goes on, let the API answer with ` +
      "SELECT pg_current_wal_insert_lsn() after COMMIT, and call client.wait(lsn)",
  );
};
export const setDoc = refused("setDoc");
export const addDoc = refused("addDoc");
export const updateDoc = refused("updateDoc");
export const deleteDoc = refused("deleteDoc");
export const writeBatch = refused("writeBatch");
export const runTransaction = refused("runTransaction");
