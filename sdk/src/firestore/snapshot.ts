import { changesBetween, type Entry, type Json, type Result, type Row } from "../index.js";
import { CollectionReference, DocumentReference, fieldOf, idOf, keyMark, parentFilters, type FieldPath, type FirestoreDataConverter, type Query } from "./query.js";
import { Timestamp, type DocumentData } from "./values.js";

export interface SnapshotMetadata {
  readonly fromCache: boolean;
  readonly hasPendingWrites: false;
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
    const parent = new CollectionReference<T>({ db: spec.db, table: spec.table, path: spec.path, filters: parentFilters(spec.db, spec.path), orders: [] }, converter);
    return new QueryDocumentSnapshot(new DocumentReference(parent, idOf(spec, row)), row, this.metadata, this.#result, converter);
  }
}
