import type { Entry, LiveQuery, Result, WalwireError } from "./index.js";
import { Query, documentId, where, wire, type DocumentReference, type Firestore } from "./firestore/query.js";
import { DocumentSnapshot, QuerySnapshot, type SnapshotListenOptions, type SnapshotMetadata } from "./firestore/snapshot.js";
import { FirestoreError } from "./firestore/values.js";

export { FirestoreError, Timestamp } from "./firestore/values.js";
export type { DocumentData, OrderByDirection, WhereFilterOp } from "./firestore/values.js";
export { CollectionReference, DocumentReference, FieldPath, Filter, Query, and, collection, doc, documentId, endAt, endBefore, getFirestore, limit, limitToLast, or, orderBy, query, queryEqual, refEqual, startAfter, startAt, where } from "./firestore/query.js";
export type { Firestore, FirestoreDataConverter, FirestoreOptions, QueryConstraint } from "./firestore/query.js";
export { DocumentSnapshot, QueryDocumentSnapshot, QuerySnapshot } from "./firestore/snapshot.js";
export type { DocumentChange, SnapshotListenOptions, SnapshotMetadata } from "./firestore/snapshot.js";

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
      queueMicrotask(() => stop());
      observer.error?.(errorFrom(r.error));
      return;
    }
    const metadata = metadataOf(r);
    const fresh = r.entries !== before;
    if (told === undefined ? r.status === "loading" : !fresh && !(options.includeMetadataChanges && told.fromCache !== metadata.fromCache)) {
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

/** Calls f at once, and whenever all listeners have been told of a commit. */
export function onSnapshotsInSync(db: Firestore, f: () => void): () => void {
  let left = false;
  const stop = db.client.onSync(f);
  queueMicrotask(() => left || f());
  return () => {
    left = true;
    stop();
  };
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
