// @vitest-environment jsdom
import { act, cleanup, configure, render, screen, waitFor } from "@testing-library/react";
import { Profiler, StrictMode, Suspense, memo, useEffect, useState } from "react";
import { renderToString } from "react-dom/server";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { connect, type Client, type Row } from "../src/index.js";
import {
  WalwireProvider,
  createRealtimeService,
  useConnection,
  useEvents,
  useLiveQuery,
  useRealtimeAppointments,
  useRealtimeClients,
  useRealtimeNotifications,
  useRealtimeStaff,
  useSuspenseLiveQuery,
} from "../src/react.js";
import { Server, until } from "./server.js";

configure({ asyncUtilTimeout: 20_000 });
let server: Server;
let client: Client;

beforeAll(async () => {
  server = await Server.start();
  client = connect({ url: server.url, token: server.ready.tokens.owner });
}, 120_000);
afterAll(async () => {
  client.close();
  await server.stop();
});
afterEach(cleanup);

interface Member extends Row {
  readonly id: string;
  readonly name: string;
  readonly status: string;
}
const query = { table: "staff", columns: ["name", "status"], orderBy: ["name"] } as const;

const renders = new Map<string, number>();
const Item = memo(function Item({ row }: { readonly row: Member }) {
  renders.set(row.name, (renders.get(row.name) ?? 0) + 1);
  return <li>{`${row.name}: ${row.status}`}</li>;
});

function List() {
  const { rows, status, error } = useLiveQuery<Member>(query);
  return (
    <ul aria-label={`staff ${error ? error.code : status}`}>
      {rows.map((row) => (
        <Item key={row.id} row={row} />
      ))}
    </ul>
  );
}

async function flip(id: string): Promise<string> {
  const { status } = await server.sql("UPDATE staff SET status = CASE status WHEN 'busy' THEN 'off' ELSE 'busy' END WHERE id = $1 RETURNING status", [id]);
  return status as string;
}

test("two components share a query; a change renders its row alone, once, in StrictMode too", async () => {
  let commits = 0;
  render(
    <StrictMode>
      <WalwireProvider client={client}>
        <Profiler id="lists" onRender={() => commits++}>
          <List />
          <List />
        </Profiler>
      </WalwireProvider>
    </StrictMode>,
  );
  await waitFor(() => expect(screen.getAllByLabelText("staff live")).toHaveLength(2));
  const row = client.liveQuery<Member>(query).current.rows[1]!;
  renders.clear();
  const before = commits;
  const status = await flip(row.id);
  await waitFor(() => expect(screen.getAllByText(`${row.name}: ${status}`)).toHaveLength(2));
  expect([...renders.keys()]).toEqual([row.name]);
  expect(commits - before).toBe(1);
});

test("a component that goes while its rows load, or whose query changes, leaves nothing behind", async () => {
  function Some({ table }: { readonly table: string | null }) {
    const { rows, status } = useLiveQuery(table === null ? null : { table, columns: [] });
    return <p>{`${table}: ${status} ${rows.length > 0}`}</p>;
  }
  const { rerender, unmount } = render(<Some table="clients" />, { wrapper: ({ children }) => <WalwireProvider client={client}>{children}</WalwireProvider> });
  rerender(<Some table="appointments" />);
  await waitFor(() => screen.getByText("appointments: live true"));
  rerender(<Some table={null} />);
  screen.getByText("null: loading false");
  rerender(<Some table="clients" />);
  unmount();
  await client.wait(await server.lsn(), 60_000);
});

test("events reach the latest listener, each once", async () => {
  const heard: string[] = [];
  let change: (n: number) => void = () => {};
  function Ear() {
    const [n, setN] = useState(0);
    change = setN;
    useEvents({ names: ["staff.*"] }, (e) => heard.push(`${n} ${e.event}`));
    return null;
  }
  render(
    <StrictMode>
      <WalwireProvider client={client}>
        <Ear />
        <List />
      </WalwireProvider>
    </StrictMode>,
  );
  await waitFor(() => screen.getByLabelText("staff live"));
  await client.wait(await server.lsn(), 60_000);
  const { id } = client.liveQuery<Member>(query).current.rows[0]!;
  await flip(id);
  await client.wait(await server.lsn(), 60_000);
  act(() => change(1));
  await flip(id);
  await client.wait(await server.lsn(), 60_000);
  expect(heard.map((h) => h.split(" ")[0])).toEqual(["0", "1"]);
});

test("the application's hooks", async () => {
  function All() {
    const { appointments, status } = useRealtimeAppointments({ status: ["pending", "confirmed"], from: new Date(0) });
    const { clients } = useRealtimeClients({ checkedIn: false });
    const { staff } = useRealtimeStaff({ active: true });
    const { notifications } = useRealtimeNotifications({ limit: 3 });
    return <p>{[status, appointments.length > 0, clients.length > 0, staff.length > 0, notifications.length].join(" ")}</p>;
  }
  render(<WalwireProvider client={client}><All /></WalwireProvider>);
  await waitFor(() => screen.getByText("live true true true 3"));
});

test("a provider of its own connects, takes the latest token, and ends", async () => {
  function State() {
    const { status } = useConnection();
    return <p>{status}</p>;
  }
  const { unmount } = render(
    <StrictMode>
      <WalwireProvider url={server.url} token={() => server.ready.tokens.staff}>
        <State />
        <List />
      </WalwireProvider>
    </StrictMode>,
  );
  await waitFor(() => screen.getByText("connected"));
  await waitFor(() => screen.getByLabelText("staff live"));
  unmount();
});

test("Suspense waits for the rows, and an error reaches the boundary's way", async () => {
  function Names() {
    const { rows } = useSuspenseLiveQuery<Member>({ table: "staff", columns: ["name"], orderBy: ["name"], limit: 2 });
    return <p>{`${rows.length} names`}</p>;
  }
  render(<WalwireProvider client={client}><Suspense fallback={<p>waiting</p>}><Names /></Suspense></WalwireProvider>);
  screen.getByText("waiting");
  await waitFor(() => screen.getByText("2 names"));
});

test("on the server there are no rows yet", () => {
  expect(renderToString(<WalwireProvider client={client}><List /></WalwireProvider>)).toContain("staff loading");
});

test("the service connects, and says why not", async () => {
  const service = createRealtimeService({ url: server.url });
  const c = await service.connect(server.ready.tokens.owner);
  expect(c.connection.status).toBe("connected");
  expect(service.client).toBe(c);
  await expect(service.connect("x.y.z")).rejects.toMatchObject({ code: "unauthenticated" });
  service.disconnect();
  await until("the end", () => c.connection.status === "disconnected");
});

test("hooks say that they need a provider, and that a query is another one at each render", async () => {
  const quiet = vi.spyOn(console, "error").mockImplementation(() => {});
  expect(() => render(<List />)).toThrow(/need a <WalwireProvider>/);
  quiet.mockRestore();
  const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
  let n = 0;
  function Restless() {
    const [, again] = useState(0);
    const { status } = useLiveQuery({ table: "staff", where: [["name", "!=", String(n++)]] });
    useEffect(() => {
      const timer = setInterval(() => again((k) => k + 1), 5);
      return () => clearInterval(timer);
    }, []);
    return <p>{status}</p>;
  }
  render(<WalwireProvider client={client}><Restless /></WalwireProvider>);
  await until("the warning", () => warned.mock.calls.some(([text]) => String(text).includes("something else at each render")));
  warned.mockRestore();
});
