import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { connect, type Client, type Event, type Gap, type Options, type Result, type Row, PermissionDeniedError, UnauthenticatedError, InvalidArgumentError } from "../src/index.js";
import { Network, Server, until } from "./server.js";

let server: Server;
let clients: Client[] = [];

beforeAll(async () => {
  server = await Server.start();
}, 120_000);
afterAll(() => server.stop());
afterEach(() => {
  clients.forEach((c) => c.close());
  clients = [];
});

function client(options: Partial<Options> = {}): Client {
  const c = connect({ url: server.url, token: server.ready.tokens.owner, ...options });
  clients.push(c);
  return c;
}

/** Subscribes, and keeps what the listener was told last. */
function watch<R extends Row>(c: Client, query: Parameters<Client["liveQuery"]>[0]) {
  const state = { result: undefined as Result<R> | undefined, calls: 0, list: [] as R[], stop: () => {} };
  state.stop = c.liveQuery<R>(query).subscribe((r, changes) => {
    state.result = r;
    state.calls++;
    for (const change of changes()) {
      if (change.oldIndex >= 0) {
        expect(state.list.splice(change.oldIndex, 1)).toHaveLength(1);
      }
      if (change.newIndex >= 0) {
        state.list.splice(change.newIndex, 0, change.row);
      }
    }
    expect(state.list).toEqual(r.rows);
  });
  return state;
}

const staff = { table: "staff", columns: ["name", "status"], orderBy: ["name"] } as const;

test("rows, then every change, with the rows that did not change the same objects", async () => {
  const c = client();
  const w = watch(c, staff);
  await until("rows", () => w.result?.status === "live");
  const before = w.result!.rows;
  expect(before.length).toBeGreaterThan(3);
  const name = before[1]!["name"];
  await server.sql("UPDATE staff SET status = CASE status WHEN 'busy' THEN 'off' ELSE 'busy' END WHERE name = $1 AND company_id = (SELECT company_id FROM staff WHERE id = $2)", [name, before[1]!["id"]]);
  await c.wait(await server.lsn(), 60_000);
  const after = w.result!.rows;
  expect(after).toHaveLength(before.length);
  expect(after[1]).not.toBe(before[1]);
  after.forEach((row, i) => i !== 1 && expect(row).toBe(before[i]));
});

test("all listeners of a commit are told before any of the next, and none sees half of one", async () => {
  const c = client();
  const seen: string[] = [];
  const a = watch<{ name: string }>(c, { table: "clients", columns: ["name"], where: [["name", "starts-with", "Pair "]] });
  const b = watch<{ name: string }>(c, { table: "staff", columns: ["name"], where: [["name", "starts-with", "Pair "]] });
  await until("rows", () => a.result?.status === "live" && b.result?.status === "live");
  c.onSync(() => seen.push(`${a.list.map((r) => r.name)}|${b.list.map((r) => r.name)}`));
  const { company_id } = await server.sql("SELECT company_id FROM staff WHERE id = $1", [(await firstStaff(c))["id"]]);
  for (let i = 0; i < 20; i++) {
    await server.sql(
      `WITH c AS (DELETE FROM clients WHERE name LIKE 'Pair %'), s AS (DELETE FROM staff WHERE name LIKE 'Pair %'), n AS (INSERT INTO clients (company_id, name) VALUES ($1, $2))
       INSERT INTO staff (company_id, name) VALUES ($1, $2)`, [company_id, `Pair ${i}`]);
  }
  await c.wait(await server.lsn(), 60_000);
  expect(a.list).toEqual(b.list.map((r) => ({ ...r, id: expect.anything() as unknown })));
  seen.forEach((s) => expect(s.split("|")[0]).toBe(s.split("|")[1]));
  expect(seen.at(-1)).toBe("Pair 19|Pair 19");
});

async function firstStaff(c: Client): Promise<Row> {
  for await (const r of c.liveQuery(staff)) {
    if (r.status === "live") {
      return r.rows[0]!;
    }
  }
  throw new Error("no rows");
}

test("identical queries share one subscription, which ends with the last listener", async () => {
  const c = client();
  const a = watch(c, staff);
  const b = watch(c, { ...staff });
  await until("rows", () => a.result?.status === "live" && b.result?.status === "live");
  expect(b.result).toBe(a.result);
  a.stop();
  const again = watch(c, staff);
  await until("rows at once", () => again.result?.status === "live");
  expect(again.result).toBe(b.result);
  b.stop();
  again.stop();
});

test("a lost connection is made again, and goes on where it was", async () => {
  const network = await Network.to(server.url);
  const c = client({ url: network.url });
  const w = watch(c, staff);
  const events: (Event | Gap)[] = [];
  c.events({ names: ["staff.*"] }, (e) => events.push(e));
  await until("rows", () => w.result?.status === "live");
  await c.wait(await server.lsn(), 60_000); // the events have begun too
  const before = w.result!.rows;
  network.cut();
  await until("the loss to be noticed", () => w.result?.status === "stale");
  expect(w.result!.rows).toBe(before);
  expect(c.connection.status).toBe("connecting");
  for (const status of ["available", "busy", "on_break"]) {
    await server.sql("UPDATE staff SET status = $1 WHERE id = $2", [status, before[0]!["id"]]);
  }
  network.mend();
  await c.wait(await server.lsn(), 20_000);
  expect(w.result!.status).toBe("live");
  expect(w.result!.rows[0]!["status"]).toBe("on_break");
  w.result!.rows.slice(1).forEach((row, i) => expect(row).toBe(before[i + 1]));
  expect(events.map((e) => e.event)).toEqual(["staff.available", "staff.busy", "staff.on_break"].slice(3 - events.length));
  expect(events.length).toBeGreaterThan(1);
  expect(new Set(events.map((e) => (e as Event).id)).size).toBe(events.length);
  network.close();
});

test.each(["sse", "poll"] as const)("where WebSocket can't be had, %s carries the same", async (way) => {
  const real = globalThis.WebSocket;
  const fetchReal = globalThis.fetch;
  class Blocked {
    onclose: ((e: { code: number }) => void) | null = null;
    readyState = 3;
    constructor() {
      setTimeout(() => this.onclose?.({ code: 1006 }));
    }
    send() {}
    close() {}
  }
  globalThis.WebSocket = Blocked as unknown as typeof WebSocket;
  if (way === "poll") {
    globalThis.fetch = (input, init) => (String(input).includes("/v1/sse") ? Promise.reject(new TypeError("blocked")) : fetchReal(input, init));
  }
  try {
    const c = client();
    const w = watch(c, staff);
    await until("rows", () => w.result?.status === "live", 40_000);
    expect(c.connection).toMatchObject({ status: "connected", way });
    await server.sql("UPDATE staff SET status = 'off' WHERE id = $1", [w.result!.rows[0]!["id"]]);
    await c.wait(await server.lsn(), 60_000);
    expect(w.result!.rows[0]!["status"]).toBe("off");
    w.stop();
    // More than one request may hold.
    const many = Array.from({ length: 60 }, (_, i) => watch(c, { table: "staff", columns: [], where: [["name", "in", Array.from({ length: 40 }, (_, j) => `somebody of a long name ${i} ${j}`)]] }));
    await until("all of them", () => many.every((m) => m.result?.status === "live"));
  } finally {
    globalThis.WebSocket = real;
    globalThis.fetch = fetchReal;
  }
});

test("refusals are errors of their own, once, and the others go on", async () => {
  const c = client({ token: server.ready.tokens.staff });
  const good = watch(c, staff);
  const bad = watch(c, { table: "companies" });
  await until("the refusal", () => bad.result?.status === "error");
  expect(bad.result!.error).toBeInstanceOf(PermissionDeniedError);
  expect(bad.calls).toBe(1);
  await until("rows", () => good.result?.status === "live");
  await expect(c.wait("nowhere")).rejects.toBeInstanceOf(InvalidArgumentError);
  await expect(c.wait("FFFF/0", 200)).rejects.toMatchObject({ code: "deadline-exceeded" });
  let told: unknown;
  c.events({ names: ["no.such"] }, () => {}, (e) => (told = e));
  await until("the refusal of events", () => told !== undefined);
  expect(told).toBeInstanceOf(PermissionDeniedError);
});

test("a token that is refused ends the connection; one that is asked for is asked for again", async () => {
  const wrong = client({ token: "x.y.z" });
  const w = watch(wrong, staff);
  await until("the end", () => wrong.connection.status === "disconnected");
  expect(wrong.connection.error).toBeInstanceOf(UnauthenticatedError);
  expect(w.result).toMatchObject({ status: "error" });
  const tokens = ["x.y.z", server.ready.tokens.owner];
  let asked = 0;
  const c = client({ token: () => Promise.resolve(tokens[Math.min(asked++, 1)]!) });
  const v = watch(c, staff);
  await until("rows", () => v.result?.status === "live");
  expect(asked).toBe(2);
});

test("another company sees nothing of it", async () => {
  const a = watch(client(), staff);
  const b = watch(client({ token: server.ready.tokens.other_company_owner }), staff);
  await until("rows", () => a.result?.status === "live" && b.result?.status === "live");
  const ids = new Set(a.list.map((r) => r["id"]));
  expect(b.list.some((r) => ids.has(r["id"]!))).toBe(false);
});

test("an access that ends takes the rows with it; asked to connect again, all goes on", async () => {
  const c = client({ token: server.ready.tokens.receptionist });
  const w = watch(c, staff);
  await until("rows", () => w.result?.status === "live");
  const count = w.list.length;
  await server.sql("UPDATE staff SET active = false WHERE user_id = 'nord-staff-1'");
  await until("the end", () => c.connection.status === "disconnected");
  expect(w.result).toMatchObject({ status: "error", rows: [], error: { code: "permission-denied" } });
  await server.sql("UPDATE staff SET active = true WHERE user_id = 'nord-staff-1'");
  c.reconnect();
  await until("rows again", () => w.result?.status === "live");
  expect(w.list).toHaveLength(count);
});

test("what is asked of a client that was closed is refused", async () => {
  const c = client();
  c.close();
  const w = watch(c, staff);
  const heard: unknown[] = [];
  c.events({ names: ["*"] }, () => {}, (e) => heard.push(e.code));
  await until("the refusal", () => w.result?.status === "error" && heard.length > 0);
  expect([w.result!.error!.code, heard]).toEqual(["cancelled", ["cancelled"]]);
  await expect(c.wait("0/1")).rejects.toMatchObject({ code: "cancelled" });
  c.reconnect();
  expect(c.connection.status).toBe("disconnected");
});

test("a server that is not there is said to be so", async () => {
  const c = client({ url: "http://127.0.0.1:9" });
  await until("an error", () => c.connection.error !== undefined);
  expect(c.connection.error!.message).toContain("http://127.0.0.1:9 does not answer");
  expect(JSON.stringify(c.connection)).toContain("does not answer");
});
