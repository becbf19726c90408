import { afterAll, beforeAll, expect, test } from "vitest";
import { connect, type Client } from "../src/index.js";
import {
  FirestoreError,
  Timestamp,
  and,
  collection,
  doc,
  documentId,
  endBefore,
  getDoc,
  getDocs,
  getFirestore,
  limit,
  limitToLast,
  onSnapshot,
  onSnapshotsInSync,
  or,
  orderBy,
  query,
  queryEqual,
  refEqual,
  setDoc,
  startAfter,
  startAt,
  where,
  type DocumentSnapshot,
  type Firestore,
  type Query,
  type QuerySnapshot,
  type SnapshotListenOptions,
} from "../src/firestore.js";
import { Network, Server, until } from "./server.js";

let server: Server;
let client: Client;
let db: Firestore;
let company = "";

beforeAll(async () => {
  server = await Server.start();
  client = connect({ url: server.url, token: server.ready.tokens.owner });
  db = getFirestore(client);
  const [first] = (await getDocs(query(collection(db, "staff"), limit(1)))).docs;
  company = first!.get("company_id") as string;
  await server.sql("UPDATE appointments SET status = 'completed'"); // else the schedule writes reminders, again and again
  await server.sql("DELETE FROM notifications");
}, 120_000);
afterAll(async () => {
  client?.close();
  await server?.stop();
});

/** A clean set of rows: n is in the title, rank in data. */
async function notes(...ns: number[]): Promise<void> {
  await server.sql("DELETE FROM notifications");
  for (const n of ns) {
    await note(n);
  }
  await settled();
}
async function note(n: number): Promise<void> {
  await server.sql("INSERT INTO notifications (id, company_id, title, body, data) VALUES ($1, $2, $3, '', $4)", [id(n), company, String(n).padStart(3, "0"), { n }]);
}
const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
async function settled(): Promise<void> {
  await client.wait(await server.lsn(), 60_000);
}
const all = () => query(collection(db, "notifications"), orderBy("title"));

interface Heard {
  readonly snapshots: QuerySnapshot[];
  readonly changes: string[][];
  stop(): void;
}
function hear(q: Query, options: SnapshotListenOptions = {}): Heard {
  const snapshots: QuerySnapshot[] = [];
  const changes: string[][] = [];
  const list: string[] = [];
  const stop = onSnapshot(q, options, (s) => {
    snapshots.push(s);
    changes.push(s.docChanges().map((c) => `${c.type} ${c.doc.get("title")} ${c.oldIndex} ${c.newIndex}`));
    for (const c of s.docChanges()) {
      if (c.oldIndex >= 0) {
        expect(list.splice(c.oldIndex, 1)).toEqual([c.doc.id]);
      }
      if (c.newIndex >= 0) {
        list.splice(c.newIndex, 0, c.doc.id);
      }
    }
    expect(list).toEqual(s.docs.map((d) => d.id));
  });
  return { snapshots, changes, stop };
}

test("the first snapshot adds every document, and is raised when there is none", async () => {
  await notes(1, 2, 3);
  const h = hear(all());
  await until("a snapshot", () => h.snapshots.length === 1);
  expect(h.changes[0]).toEqual(["added 001 -1 0", "added 002 -1 1", "added 003 -1 2"]);
  const none = hear(query(collection(db, "notifications"), where("title", "==", "none")));
  await until("the empty snapshot", () => none.snapshots.length === 1);
  expect(none.snapshots[0]).toMatchObject({ empty: true, size: 0, metadata: { fromCache: false, hasPendingWrites: false } });
  h.stop();
  none.stop();
});

test("docChanges: removed, then added, then modified, each in the query's order", async () => {
  await notes(1, 2, 3, 4);
  const h = hear(all());
  await until("a snapshot", () => h.snapshots.length === 1);
  await server.sql(`WITH d AS (DELETE FROM notifications WHERE title IN ('002', '004')), u AS (UPDATE notifications SET body = 'x' WHERE title IN ('001', '003'))
    INSERT INTO notifications (company_id, title) VALUES ($1, '000'), ($1, '0025')`, [company]);
  await until("another", () => h.snapshots.length === 2);
  expect(h.changes[1]).toEqual(["removed 002 1 -1", "removed 004 2 -1", "added 000 -1 0", "added 0025 -1 2", "modified 001 1 1", "modified 003 3 3"]);
  await server.sql("UPDATE notifications SET title = '999' WHERE title = '000'");
  await until("a move", () => h.snapshots.length === 3);
  expect(h.changes[2]).toEqual(["modified 999 0 3"]);
  h.stop();
});

test("equal data raises nothing", async () => {
  await notes(1);
  const h = hear(all());
  await until("a snapshot", () => h.snapshots.length === 1);
  await server.sql("UPDATE notifications SET title = title");
  await server.sql("BEGIN; UPDATE notifications SET title = 'y'; UPDATE notifications SET title = '001'; COMMIT");
  await settled();
  expect(h.snapshots).toHaveLength(1);
  h.stop();
});

test("limit and limitToLast: who leaves is replaced, who is one too many leaves", async () => {
  await notes(1, 2, 3, 4);
  const first = hear(query(all(), limit(2)));
  const last = hear(query(all(), limitToLast(2)));
  await until("snapshots", () => first.snapshots.length === 1 && last.snapshots.length === 1);
  expect(last.changes[0]).toEqual(["added 003 -1 0", "added 004 -1 1"]);
  await server.sql("DELETE FROM notifications WHERE title = '001'");
  await until("the next to move up", () => first.snapshots.length === 2);
  expect(first.changes[1]).toEqual(["removed 001 0 -1", "added 003 -1 1"]);
  await note(0);
  await until("the last to leave", () => first.snapshots.length === 3);
  expect(first.changes[2]).toEqual(["removed 003 1 -1", "added 000 -1 0"]);
  await note(5);
  await until("the first of the last to leave", () => last.snapshots.length === 2);
  expect(last.changes[1]).toEqual(["removed 003 0 -1", "added 005 -1 1"]);
  expect(() => query(collection(db, "notifications"), limitToLast(1))).toThrow(FirestoreError);
  first.stop();
  last.stop();
});

test("cursors, by values and by documents", async () => {
  await notes(1, 2, 3, 4, 5);
  const titles = async (q: Query) => (await getDocs(q)).docs.map((d) => d.get("title"));
  expect(await titles(query(all(), startAt("002"), endBefore("005")))).toEqual(["002", "003", "004"]);
  const { docs } = await getDocs(all());
  expect(await titles(query(all(), startAfter(docs[2]!)))).toEqual(["004", "005"]);
  expect(await titles(query(all(), startAfter(docs[0]!), limit(2)))).toEqual(["002", "003"]);
  expect(await titles(query(collection(db, "notifications"), orderBy("title", "desc"), startAt("003"), limit(2)))).toEqual(["003", "002"]);
});

test("operators, and, or, and what they refuse", async () => {
  await notes(1, 2, 3);
  await server.sql("UPDATE notifications SET user_id = 'u' WHERE title = '002'");
  await settled();
  const ids = async (...cs: Parameters<typeof query>[1][]) => (await getDocs(query(all(), ...cs))).docs.map((d) => d.get("title"));
  expect(await ids(where("title", "in", ["001", "003"]))).toEqual(["001", "003"]);
  expect(await ids(where("title", "not-in", ["001"]))).toEqual(["002", "003"]);
  expect(await ids(where("title", "!=", "002"))).toEqual(["001", "003"]);
  expect(await ids(where("user_id", "==", null))).toEqual(["001", "003"]);
  expect(await ids(where("user_id", "!=", null))).toEqual(["002"]);
  expect(await ids(where("user_id", "!=", "v"))).toEqual(["002"]);
  expect(await ids(or(where("title", "==", "001"), and(where("title", ">", "002"), where("kind", "==", "system"))))).toEqual(["001", "003"]);
  expect(await ids(where(documentId(), "==", id(2)))).toEqual(["002"]);
  expect(() => where("title", "in", Array.from({ length: 31 }, String))).toThrow(/1 to 30/);
  expect(() => where("title", "not-in", Array.from({ length: 11 }, String))).toThrow(/1 to 10/);
  expect(() => query(all(), where("title", "not-in", ["a"]), where("kind", "!=", "x"))).toThrow(FirestoreError);
});

test("a document's collection keeps its parents, and a document is a cursor in any order", async () => {
  const branch = (await server.sql("SELECT branch_id FROM staff WHERE user_id = 'nord-staff-1'"))["branch_id"] as string;
  const parent = collection(db, "branches", branch, "staff");
  const all = await getDocs(parent);
  const again = await getDocs(all.docs[0]!.ref.parent);
  expect(again.size).toBe(all.size);
  expect(refEqual(all.docs[0]!.ref.parent, parent)).toBe(true);
  const [first, second] = (await getDocs(query(collection(db, "staff"), orderBy("id")))).docs;
  expect((await getDocs(query(collection(db, "staff"), orderBy("id"), startAfter(first), limit(1)))).docs[0]!.id).toBe(second!.id);
  expect((await getDocs(query(collection(db, "staff"), startAfter(first), limit(1)))).docs[0]!.id).toBe(second!.id);
  expect(() => query(collection(db, "staff"), where("active", "==", true), startAt(1), orderBy("name"))).toThrow(/orderBy comes before/);
  expect((await getDocs(query(collection(db, "staff"), where("status", "!=", "off")))).size).toBeGreaterThan(0);
  expect((await getDocs(query(collection(db, "clients"), where("tags", "!=", ["x"])))).size).toBeGreaterThan(0);
  expect(() => doc(collection(getFirestore(client, { keys: { staff: ["company_id", "id"] } }), "staff"), "1")).not.toThrow();
  await expect(async () => getDoc(doc(getFirestore(client, { keys: { staff: ["company_id", "id"] } }), "staff", "1"))).rejects.toThrow(/2 parts/);
});

test("fields with an inequality are ordered by; null is lowest", async () => {
  await notes(3, 1, 2);
  await server.sql("UPDATE notifications SET user_id = CASE title WHEN '001' THEN 'b' WHEN '002' THEN 'a' END");
  await settled();
  const by = async (q: Query) => (await getDocs(q)).docs.map((d) => d.get("title"));
  expect(await by(query(collection(db, "notifications"), where("user_id", ">=", "a")))).toEqual(["002", "001"]);
  expect(await by(query(collection(db, "notifications"), where("user_id", ">=", "a"), where(documentId(), ">=", id(1))))).toEqual(["002", "001"]);
  expect(await by(query(collection(db, "notifications"), orderBy("user_id")))).toEqual(["003", "002", "001"]);
  expect(await by(query(collection(db, "notifications"), orderBy("user_id", "desc")))).toEqual(["001", "002", "003"]);
});

test("a document, there, changed, gone and back; values as Firestore has them", async () => {
  await notes(1);
  const heard: DocumentSnapshot[] = [];
  const ref = doc(db, "notifications", id(1));
  const stop = onSnapshot(ref, { next: (s) => heard.push(s) });
  await until("it", () => heard.length === 1);
  expect(heard[0]!.exists()).toBe(true);
  expect(heard[0]!.id).toBe(id(1));
  expect(heard[0]!.get("data.n")).toBe(1);
  const created = heard[0]!.get("created_at") as Timestamp;
  expect(created).toBeInstanceOf(Timestamp);
  expect(Math.abs(created.toMillis() - Date.now())).toBeLessThan(60_000);
  await server.sql("DELETE FROM notifications");
  await until("its end", () => heard.length === 2);
  expect(heard[1]!.exists()).toBe(false);
  expect(heard[1]!.data()).toBeUndefined();
  await note(1);
  await until("it again", () => heard.length === 3);
  expect((await getDoc(ref)).exists()).toBe(true);
  const [priced] = (await getDocs(query(collection(db, "appointments"), where("price", ">", 0), limit(1)))).docs;
  expect(typeof priced!.get("price")).toBe("number");
  const at = priced!.get("starts_at") as Timestamp;
  const same = await getDocs(query(collection(db, "appointments"), where("starts_at", "==", at)));
  expect(same.docs.map((d) => d.id)).toContain(priced!.id);
  stop();
});

test("nothing is called after unsubscribe, and errors come once", async () => {
  await notes(1);
  let calls = 0;
  const stop = onSnapshot(all(), () => {
    calls++;
    stop();
  });
  await until("a snapshot", () => calls === 1);
  await note(2);
  await settled();
  expect(calls).toBe(1);
  const errors: FirestoreError[] = [];
  onSnapshot(collection(db, "companies"), { next: () => calls++, error: (e) => errors.push(e), complete: () => calls++ });
  await until("the error", () => errors.length > 0);
  await settled();
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatchObject({ name: "FirebaseError", code: "permission-denied" });
  expect(calls).toBe(1);
});

test("several listeners are at one time, and onSnapshotsInSync tells when", async () => {
  await notes(1);
  const a = hear(all());
  const b = hear(query(all(), where("kind", "==", "system")));
  await until("snapshots", () => a.snapshots.length === 1 && b.snapshots.length === 1);
  const seen: string[] = [];
  const stop = onSnapshotsInSync(db, () => seen.push(`${a.snapshots.at(-1)!.size} ${b.snapshots.at(-1)!.size}`));
  await null; // before anything can come
  expect(seen).toEqual(["1 1"]);
  for (let n = 2; n < 12; n++) {
    await note(n);
  }
  await settled();
  seen.forEach((s) => expect(s.split(" ")[0]).toBe(s.split(" ")[1]));
  expect(seen.at(-1)).toBe("11 11");
  stop();
  a.stop();
  b.stop();
});

test("metadata changes fire for who asks for them", async () => {
  await notes(1);
  const network = await Network.to(server.url);
  const c = connect({ url: network.url, token: server.ready.tokens.owner });
  const q = query(collection(getFirestore(c), "notifications"), orderBy("title"));
  const quiet = hear(q);
  const loud = hear(q, { includeMetadataChanges: true });
  await until("snapshots", () => quiet.snapshots.length === 1 && loud.snapshots.length === 1);
  network.cut();
  await until("fromCache", () => loud.snapshots.at(-1)!.metadata.fromCache);
  network.mend();
  await until("the server again", () => !loud.snapshots.at(-1)!.metadata.fromCache);
  expect(loud.changes.slice(1).flat()).toEqual([]);
  expect(quiet.snapshots).toHaveLength(1);
  c.close();
  network.close();
});

test("paths, equality and converters", async () => {
  await notes(1);
  const nested = collection(db, `companies/${company}/notifications`);
  expect(nested.path).toBe(`companies/${company}/notifications`);
  expect((await getDocs(nested)).size).toBe(1);
  expect((await getDocs(collection(db, `companies/${id(9)}/notifications`))).size).toBe(0);
  expect(queryEqual(all(), all())).toBe(true);
  expect(queryEqual(all(), query(all(), limit(1)))).toBe(false);
  expect(refEqual(doc(db, "staff", "1"), doc(collection(db, "staff"), "1"))).toBe(true);
  expect(() => collection(db, "staff/1")).toThrow(FirestoreError);
  const typed = collection(db, "notifications").withConverter({
    toFirestore: (m: { title: string }) => m,
    fromFirestore: (s) => ({ title: `<${s.data()["title"] as string}>` }),
  });
  expect((await getDocs(typed)).docs[0]!.data().title).toBe("<001>");
});

test("writes say what to do", () => {
  expect(() => setDoc()).toThrow(/client\.wait/);
});

test("a Timestamp is what it was", () => {
  const t = Timestamp.fromDate(new Date("2026-03-01T09:00:00.123Z"));
  expect(t.toDate().toISOString()).toBe("2026-03-01T09:00:00.123Z");
  expect(t.toString()).toBe("2026-03-01T09:00:00.123000Z");
  expect(t.isEqual(Timestamp.fromMillis(t.toMillis()))).toBe(true);
  expect(Timestamp.fromMillis(0) < Timestamp.fromMillis(1)).toBe(true);
});
