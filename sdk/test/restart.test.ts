import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { connect, type Change, type Client, type Result, type Row } from "../src/index.js";
import { Serve, Server, until } from "./server.js";

let server: Server;
let serve: Serve;
let client: Client | undefined;

beforeAll(async () => {
  server = await Server.start();
  serve = await Serve.start(server);
}, 120_000);
afterAll(async () => {
  await serve?.stop();
  await server?.stop();
});
afterEach(async () => {
  client?.close();
  await serve.up();
});

const query = { table: "staff", columns: ["name", "status"], orderBy: ["name"] } as const;

/** Connects, and keeps what a listener was told. */
async function watch(token: () => string = () => serve.token("owner", 3600)) {
  const c = connect({ url: serve.url, token });
  client = c;
  const told: { readonly result: Result; readonly changes: readonly Change[] }[] = [];
  c.liveQuery(query).subscribe((result, changes) => told.push({ result, changes: changes() }));
  await until("rows", () => told.at(-1)?.result.status === "live");
  return { c, told, rows: () => told.at(-1)!.result.rows };
}

async function flip(row: Row): Promise<string> {
  return (await server.sql("UPDATE staff SET status = CASE status WHEN 'busy' THEN 'off' ELSE 'busy' END WHERE id = $1 RETURNING status", [row["id"]]))["status"] as string;
}

test("a token is renewed on the connection that is open, again and again", async () => {
  let asked = 0;
  const { c, told, rows } = await watch(() => (asked++, serve.token("owner", 12)));
  const states: string[] = [];
  c.onConnection(() => states.push(c.connection.status));
  await until("three renewals", () => asked >= 4, 90_000);
  expect(states).toEqual([]);
  const status = await flip(rows()[0]!);
  await c.wait(await server.lsn(), 60_000);
  expect(rows()[0]!["status"]).toBe(status);
  expect(told).toHaveLength(2);
});

test("the server is killed, and is back: what was written meanwhile is told, and nothing else", async () => {
  const { c, told, rows } = await watch();
  const before = rows();
  await serve.end("SIGKILL");
  await until("the loss to be noticed", () => told.at(-1)!.result.status === "stale");
  expect(rows()).toBe(before);
  const status = await flip(before[2]!);
  told.length = 0;
  await serve.again();
  await c.wait(await server.lsn(), 60_000);
  expect(told.flatMap((t) => t.changes.map((change) => [change.type, change.newIndex]))).toEqual([["modified", 2]]);
  expect(told.at(-1)!.result.status).toBe("live");
  expect(rows()[2]!["status"]).toBe(status);
  rows().forEach((row, i) => i !== 2 && expect(row).toBe(before[i]));
});

test("a server that is asked to end says when to come back, and nothing is lost", async () => {
  const { c, told, rows } = await watch();
  const before = rows();
  const ended = serve.end("SIGTERM");
  await until("the end to be noticed", () => told.at(-1)!.result.status === "stale");
  const status = await flip(before[1]!);
  await ended;
  await serve.again();
  await c.wait(await server.lsn(), 60_000);
  expect(rows()[1]!["status"]).toBe(status);
  rows().forEach((row, i) => i !== 1 && expect(row).toBe(before[i]));
});

test("a slot that is lost is a difference to what was shown, and no new beginning", async () => {
  const { c, told, rows } = await watch();
  const before = rows();
  await serve.end("SIGKILL");
  const gone = "SELECT count(pg_drop_replication_slot(slot_name))::int AS n FROM pg_replication_slots WHERE slot_name = 'walwire_sdk' AND NOT active";
  await until("the slot to be dropped", async () => (await server.sql(gone))["n"] === 1);
  const status = await flip(before[0]!);
  told.length = 0;
  await serve.again();
  await c.wait(await server.lsn(), 60_000);
  expect(told.flatMap((t) => t.changes.map((change) => [change.type, change.newIndex]))).toEqual([["modified", 0]]);
  expect(rows()[0]!["status"]).toBe(status);
  rows().slice(1).forEach((row, i) => expect(row).toBe(before[i + 1]));
});
