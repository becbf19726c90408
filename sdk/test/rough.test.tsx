// @vitest-environment jsdom
import { cleanup, configure, render, screen, waitFor } from "@testing-library/react";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Component, Suspense, type ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";
import { WalwireError, connect, type Client, type Result } from "../src/index.js";
import { WalwireProvider, createRealtimeService, useSuspenseLiveQuery } from "../src/react.js";
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

test("a service that is disconnected before it was connected says so", async () => {
  speaker = new Speaker();
  await speaker.listening();
  const service = createRealtimeService({ url: speaker.url });
  const connected = service.connect("t");
  service.disconnect();
  await expect(connected).rejects.toMatchObject({ code: "cancelled" });
});
