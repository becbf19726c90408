// @vitest-environment jsdom
import { cleanup, configure, render, screen, waitFor } from "@testing-library/react";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Component, Suspense, type ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { WalwireError, connect, type Client, type Result } from "../src/index.js";
import { WalwireProvider, createRealtimeService, useEvents, useSuspenseLiveQuery } from "../src/react.js";
import { until } from "./server.js";
import { Speaker } from "./speaker.js";

configure({ asyncUtilTimeout: 20_000 });

let speaker: Speaker;
let client: Client | undefined;
afterEach(() => {
  cleanup();
  client?.close();
  speaker?.close();
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

/** A client, and a server that says what it is told to. */
async function start(): Promise<Client> {
  speaker = new Speaker();
  await speaker.listening();
  client = connect({ url: speaker.url, token: "t" });
  return client;
}

const snapshot = (...rows: readonly object[]) => ({ token: "t", key: ["id"], columns: [{ name: "id", type: "text" }], rows });
const say = (cursor: string, ...subscriptions: readonly ({ readonly id: number } & Readonly<Record<string, unknown>>)[]) =>
  speaker.speak({ type: "data", position: `0/${cursor}`, cursor, subscriptions } as Parameters<Speaker["speak"]>[0]);

/** What is thrown by a timer, as a page's mistakes are. */
function mistakes(): string[] {
  const seen: string[] = [];
  const real = setTimeout;
  vi.spyOn(globalThis, "setTimeout").mockImplementation(((f: () => void, ms?: number) =>
    real(() => {
      try {
        f();
      } catch (e) {
        seen.push(String(e));
      }
    }, ms)) as typeof setTimeout);
  return seen;
}

test("a listener that throws keeps nobody else from being told, nor the client from coming back", async () => {
  const seen = mistakes();
  const c = await start();
  const told: string[] = [];
  c.liveQuery({ table: "t1" }).subscribe((r) => {
    throw new Error(`mine, ${r.status}`);
  });
  c.liveQuery({ table: "t2" }).subscribe((r) => told.push(r.status));
  c.events({ names: ["e3.*"] }, (e) => {
    told.push(e.event);
    throw new Error("another");
  });
  await until("the subscriptions", () => speaker.ids.size === 3);
  say("1", { id: 1, snapshot: snapshot() }, { id: 2, snapshot: snapshot() }, { id: 3, names: ["e3.a"], events: [{ event: "e3.a" }, { event: "e3.b" }] });
  await until("all to be told", () => told.length === 3);
  speaker.ids.clear();
  speaker.socket!.terminate();
  await until("the client to come back", () => speaker.ids.size === 3);
  expect(told).toEqual(["live", "e3.a", "e3.b", "stale"]);
  await until("the page to hear of its mistakes", () => seen.length === 4);
  expect(seen).toContain("Error: mine, stale");
});

test("events that the server has put off go on from where they were", async () => {
  const c = await start();
  c.events({ names: ["e1.*"] }, () => {});
  c.liveQuery({ table: "t2" }).subscribe(() => {});
  await until("the subscriptions", () => speaker.ids.size === 2);
  say("1", { id: 1, names: ["e1.a"] }, { id: 2, snapshot: snapshot() });
  speaker.speak({ type: "error", id: 1, code: "unavailable", message: "later" } as never);
  say("2", { id: 2, added: [{ id: "a" }] });
  speaker.cursors.clear();
  await until("it to be asked for again", () => speaker.cursors.has(1));
  expect(speaker.cursors.get(1)).toBe("1");
});

test("who waits for another that is put off, or let go, is told", async () => {
  const c = await start();
  const told: (readonly [string, number])[] = [];
  c.liveQuery({ table: "t1" }).subscribe((r) => told.push([r.status, r.rows.length]));
  c.liveQuery({ table: "t2" }).subscribe(() => {});
  const stop = c.events({ names: ["e3.*"] }, () => {});
  await until("the subscriptions", () => speaker.ids.size === 3);
  stop();
  say("1", { id: 1, snapshot: snapshot() }, { id: 2, snapshot: snapshot() });
  await until("rows", () => told.length === 1);
  speaker.ids.clear();
  speaker.socket!.terminate();
  await until("the client to come back", () => speaker.ids.size === 2);
  say("2", { id: 1, resumed: true, added: [{ id: "a" }] });
  speaker.speak({ type: "error", id: 2, code: "resource-exhausted", message: "later", retry_ms: 60_000 } as never);
  await until("the first to go on", () => told.at(-1)?.[0] === "live" && told.length === 3);
  expect(told).toEqual([["live", 0], ["stale", 0], ["live", 1]]);
});

test("a limit that stays reached is told; one that passes is asked for again, ever later", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const c = await start();
  const told: string[] = [];
  c.liveQuery({ table: "t1" }).subscribe((r) => told.push(r.error?.code ?? r.status));
  c.liveQuery({ table: "t2" }).subscribe((r) => told.push(r.status));
  await until("the subscriptions", () => speaker.ids.size === 2);
  speaker.speak({ type: "error", id: 1, code: "resource-exhausted", message: "more than 10000 rows" } as never);
  await until("the error", () => told.length === 1);
  const asked: number[] = [];
  for (let n = 0; n < 3; n++) {
    speaker.cursors.clear();
    speaker.speak({ type: "error", id: 2, code: "resource-exhausted", message: "later", retry_ms: 1 } as never);
    const begun = performance.now();
    await until("it to be asked for again", () => speaker.cursors.has(2));
    asked.push(performance.now() - begun);
  }
  expect(told).toEqual(["resource-exhausted"]);
  expect(asked[2]!).toBeGreaterThan(1900);
});

test("a query larger than the server takes ends by itself, and nothing else does", async () => {
  speaker = new Speaker(2000);
  await speaker.listening();
  client = connect({ url: speaker.url, token: "t" });
  const told: string[] = [];
  client.liveQuery({ table: "t1" }).subscribe((r) => told.push(r.status));
  client.liveQuery({ table: "t2", where: [["id", "in", Array.from({ length: 300 }, (_, i) => `id${i}`)]] }).subscribe((r) => told.push(r.error?.message ?? r.status));
  await until("the small one", () => speaker.ids.has(1));
  say("1", { id: 1, snapshot: snapshot() });
  await until("the large one's end", () => told.length === 2);
  expect(told[1]).toMatch(/larger than the server takes .*2000/);
  expect(speaker.tokens).toEqual(["t"]);
  expect(speaker.ids.has(2)).toBe(false);
});

test("a query that nobody subscribes to is forgotten", async () => {
  speaker = new Speaker();
  await speaker.listening();
  const c = (client = connect({ url: speaker.url, token: "t" }));
  const rendered = c.liveQuery({ table: "t1" });
  expect(c.liveQuery({ table: "t1" })).toBe(rendered);
  await until("it to be forgotten", () => c.liveQuery({ table: "t1" }) !== rendered);
  const told: string[] = [];
  rendered.subscribe((r) => told.push(r.status));
  await until("it to be asked for all the same", () => speaker.ids.has(1));
});

test("a forgotten query that is subscribed to is the one for its query again", async () => {
  speaker = new Speaker();
  await speaker.listening();
  const c = (client = connect({ url: speaker.url, token: "t" }));
  const early = c.liveQuery({ table: "t1" });
  const later = c.liveQuery({ table: "t2" });
  await until("both to be forgotten", () => c.liveQuery({ table: "t2" }) !== later);
  early.subscribe(() => {});
  expect(c.liveQuery({ table: "t1" })).toBe(early);
});

test("a query that just fits is asked for", async () => {
  const query = { table: "t1", where: [["id", "in", Array.from({ length: 30 }, (_, i) => `id${i}`)]] } as const;
  speaker = new Speaker(JSON.stringify({ type: "subscribe", id: 1, query }).length);
  await speaker.listening();
  client = connect({ url: speaker.url, token: "t" });
  client.liveQuery(query).subscribe(() => {});
  await until("the subscription", () => speaker.ids.has(1));
});

test("an empty token is none: the next one is asked for", async () => {
  speaker = new Speaker();
  await speaker.listening();
  const given = ["", "good"];
  client = connect({ url: speaker.url, token: () => given.shift() ?? "good" });
  await until("a connection", () => speaker.tokens.length > 0);
  expect(speaker.tokens).toEqual(["good"]);
});

test("who stops listening within another's error hears of none", async () => {
  const c = await start();
  const told: string[] = [];
  c.liveQuery({ table: "t1" }).subscribe((r) => {
    told.push(r.status);
    stop();
  });
  const stop = c.events({ names: ["e2.*"] }, () => {}, (error) => told.push(error.code));
  await until("the subscriptions", () => speaker.ids.size === 2);
  c.close();
  expect(told).toEqual(["error"]);
});

test("one function in two places is told twice, and let go once", async () => {
  const c = await start();
  let told = 0;
  const tell = () => void told++;
  const stop = c.onSync(tell);
  c.onSync(tell);
  c.liveQuery({ table: "t1" }).subscribe(() => {});
  await until("the subscription", () => speaker.ids.size === 1);
  say("1", { id: 1, snapshot: snapshot() });
  await until("both", () => told === 2);
  stop();
  say("2", { id: 1, added: [{ id: "a" }] });
  await until("the other", () => told > 2);
  expect(told).toBe(3);
});

test("a provider with a connection of its own connects below a boundary that is above it", async () => {
  speaker = new Speaker();
  await speaker.listening();
  const Names = () => <p>{useSuspenseLiveQuery({ table: "t1" }).rows.length} rows</p>;
  render(
    <Suspense fallback={<p>never</p>}>
      <WalwireProvider url={speaker.url} token="t" fallback={<p>waiting</p>}>
        <Names />
      </WalwireProvider>
    </Suspense>,
  );
  await screen.findByText("waiting");
  await until("the subscription", () => speaker.ids.size === 1);
  say("1", { id: 1, snapshot: snapshot({ id: "a" }) });
  await screen.findByText("1 rows");
});

test("who asks again within the error is served", async () => {
  const c = await start();
  const told: string[] = [];
  const ask = () => {
    c.liveQuery({ table: "t1" }).subscribe((r) => {
      told.push(r.status);
      if (r.error) {
        ask();
      }
    });
  };
  ask();
  await until("the subscription", () => speaker.ids.size === 1);
  const first = speaker.ids.get(1);
  speaker.speak({ type: "error", id: 1, code: "not-found", message: "no" } as never);
  await until("another", () => speaker.ids.get(1) !== first);
  say("1", { id: 1, snapshot: snapshot() });
  await until("rows", () => told.at(-1) === "live");
  expect(told).toEqual(["error", "live"]);
});

test("Retry-After as a date is obeyed, and what is no answer of walwire's does not end the client", async () => {
  let asked = 0;
  const proxy = createServer((request, response) => {
    asked++;
    response.writeHead(request.url!.startsWith("/v1/sse") ? 403 : 503, { "Retry-After": new Date(Date.now() + 60_000).toUTCString(), "Access-Control-Allow-Origin": "*" });
    response.end("<html>not me</html>");
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  vi.stubGlobal("WebSocket", class {
    constructor() {
      throw new Error("not allowed here");
    }
  });
  vi.spyOn(Math, "random").mockReturnValue(0);
  client = connect({ url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`, token: "t" });
  await until("an answer", () => client!.connection.error?.message === "HTTP 403");
  expect(client.connection.status).toBe("connecting");
  const before = asked;
  await new Promise((resolve) => setTimeout(resolve, 300)); // without the date it would have asked many times
  expect(asked).toBe(before);
  proxy.closeAllConnections();
  proxy.close();
});

class Boundary extends Component<{ readonly children: ReactNode }, { readonly error?: unknown }> {
  override state: { readonly error?: unknown } = {};
  static getDerivedStateFromError(error: unknown) {
    return { error };
  }
  override render() {
    const { error } = this.state;
    return error === undefined ? this.props.children : <p>{error instanceof WalwireError ? error.code : "?"}</p>;
  }
}

function Counts({ tables }: { readonly tables: readonly string[] }) {
  const results: Result[] = [];
  for (const table of tables) {
    results.push(useSuspenseLiveQuery({ table })); // always as many
  }
  return <p>{results.map((r) => r.rows.length).join(" ")}</p>;
}

test("Suspense over two slow queries shows both, and a refusal reaches the boundary", async () => {
  vi.spyOn(console, "error").mockImplementation(() => {});
  const c = await start();
  const tree = (tables: readonly string[]) => (
    <WalwireProvider client={c}>
      <Boundary>
        <Suspense fallback={<p>waiting</p>}>
          <Counts tables={tables} />
        </Suspense>
      </Boundary>
    </WalwireProvider>
  );
  const { unmount } = render(tree(["t1", "t2"]));
  for (const id of [1, 2]) {
    await until("the subscription", () => speaker.ids.has(id));
    await new Promise((resolve) => setTimeout(resolve, 300)); // longer than what nobody listens to is kept
    say(String(id), { id, snapshot: snapshot({ id: "a" }) });
  }
  await waitFor(() => screen.getByText("1 1"));
  unmount();
  speaker.ids.clear();
  render(tree(["t3"]));
  await until("the subscription", () => speaker.ids.has(3));
  speaker.speak({ type: "error", id: 3, code: "permission-denied", message: "no" } as never);
  await waitFor(() => screen.getByText("permission-denied"));
});

test("rows that were waited for are kept a while, however often they change", async () => {
  const kept = vi.spyOn(globalThis, "setTimeout");
  const timers = () => kept.mock.calls.filter(([, ms]) => ms === 30_000).length;
  const c = await start();
  render(<WalwireProvider client={c}><Suspense fallback={<p>waiting</p>}><Counts tables={["t1"]} /></Suspense></WalwireProvider>);
  await until("the subscription", () => speaker.ids.has(1));
  say("1", { id: 1, snapshot: snapshot({ id: "a" }) });
  await waitFor(() => screen.getByText("1"));
  const before = timers();
  for (const n of [2, 3]) {
    say(String(n), { id: 1, added: [{ id: `a${n}` }] });
    await waitFor(() => screen.getByText(String(n)));
  }
  expect(before).toBeGreaterThan(0);
  expect(timers()).toBe(before);
});

test("who has had rows and waits for others, as rights have changed, waits quietly", async () => {
  const c = await start();
  let renders = 0;
  function Count() {
    renders++;
    return <p>{useSuspenseLiveQuery({ table: "t1" }).rows.length} rows</p>;
  }
  render(<WalwireProvider client={c}><Suspense fallback={<p>waiting</p>}><Count /></Suspense></WalwireProvider>);
  await until("the subscription", () => speaker.ids.has(1));
  say("1", { id: 1, snapshot: snapshot({ id: "a" }) });
  await waitFor(() => screen.getByText("1 rows"));
  renders = 0;
  say("2", { id: 1, reset: true, loading: true, snapshot: snapshot() });
  await waitFor(() => screen.getByText("waiting"));
  await new Promise((resolve) => setTimeout(resolve, 300)); // it would have rendered a thousand times
  expect(renders).toBeLessThan(10);
  say("3", { id: 1, reset: true, snapshot: snapshot({ id: "a" }, { id: "b" }) });
  await waitFor(() => screen.getByText("2 rows"));
});

test("an error of events that ended with the connection is over once it is back", async () => {
  const c = await start();
  function Ear() {
    const { error } = useEvents({ names: ["e1.*"] }, () => {});
    return <p>{error?.code ?? "fine"}</p>;
  }
  render(<WalwireProvider client={c}><Ear /></WalwireProvider>);
  await until("the subscription", () => speaker.ids.has(1));
  speaker.socket!.close(4502, "ended");
  await waitFor(() => screen.getByText("unavailable"));
  c.reconnect();
  await waitFor(() => screen.getByText("fine"));
  cleanup();
  speaker.socket!.close(4502, "ended again");
  await until("the end", () => c.connection.status === "disconnected");
  render(<WalwireProvider client={c}><Ear /></WalwireProvider>); // where it has ended already
  await waitFor(() => screen.getByText("unavailable"));
  c.reconnect();
  await waitFor(() => screen.getByText("fine"));
  await until("the subscription", () => c.connection.status === "connected" && speaker.ids.has(1));
  speaker.speak({ type: "error", id: 1, code: "permission-denied", message: "no" } as never);
  await waitFor(() => screen.getByText("permission-denied"));
});

test("requests without WebSocket are no larger than the server takes", async () => {
  const frameBytes = 4096;
  const sizes: number[] = [];
  let asked = 0;
  const server = createServer((request, response) => {
    const cors = { "Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*" };
    if (request.method === "OPTIONS") {
      response.writeHead(204, cors).end();
    } else if (request.url!.startsWith("/v1/sse")) {
      response.writeHead(200, { ...cors, "Content-Type": "text/event-stream" });
      response.write(`data: ${JSON.stringify({ type: "welcome", key: "k".repeat(40), frame_bytes: frameBytes, position: "0/1", roles: [] })}\n\n`);
    } else {
      let body = "";
      request.on("data", (d: Buffer) => (body += d.toString()));
      request.on("end", () => {
        sizes.push(Buffer.byteLength(body));
        asked += (JSON.parse(body) as { frames: object[] }).frames.length;
        response.writeHead(200, { ...cors, "Content-Type": "application/json" }).end("{}");
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  vi.stubGlobal("WebSocket", class {
    constructor() {
      throw new Error("not allowed here");
    }
  });
  client = connect({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, token: "t" });
  for (let n = 0; n < 40; n++) {
    client.liveQuery({ table: "t1", where: [["id", "in", Array.from({ length: 30 }, (_, i) => `id${n}-${i}`)]] }).subscribe(() => {});
  }
  await until("all queries", () => asked === 40);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(frameBytes);
  server.closeAllConnections();
  server.close();
});

test("a service that is disconnected before it was connected says so", async () => {
  speaker = new Speaker();
  await speaker.listening();
  const service = createRealtimeService({ url: speaker.url });
  const connected = service.connect("t");
  service.disconnect();
  await expect(connected).rejects.toMatchObject({ code: "cancelled" });
});
