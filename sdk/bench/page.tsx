// The page of paint.ts: one live list by React, and a raw WebSocket with the same query.
import { useLayoutEffect } from "react";
import { createRoot } from "react-dom/client";
import { WalwireProvider, useLiveQuery } from "../src/react.js";
import type { Row } from "../src/index.js";

declare global {
  interface Window {
    token: string;
    ready: { raw: boolean; react: boolean };
    raw: Map<number, number>;
    react: Map<number, number>;
  }
}

const query = { table: "clients", columns: ["name", "status"], orderBy: ["name"] };
const now = () => performance.timeOrigin + performance.now();
const number = (row: Row) => Number(/^Paint (\d+)$/.exec(String(row["name"]))?.[1] ?? 0);
window.ready = { raw: false, react: false };
window.raw = new Map();
window.react = new Map();

const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/stream`, "walwire.v1");
socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token: window.token }));
socket.onmessage = (e) => {
  const frame = JSON.parse(String(e.data)) as { type: string; subscriptions?: { snapshot?: object; modified?: Row[] }[] };
  if (frame.type === "welcome") {
    socket.send(JSON.stringify({ type: "subscribe", id: 1, query }));
  }
  const update = frame.subscriptions?.[0];
  window.ready.raw ||= update?.snapshot !== undefined;
  update?.modified?.forEach((row) => window.raw.set(number(row), now()));
};

/** Calls f once what has just been laid out is on the screen: in the first task after the frame. */
function painted(f: () => void): void {
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = f;
    port2.postMessage(null);
  });
}

function List() {
  const { rows, status } = useLiveQuery(query);
  useLayoutEffect(() => {
    window.ready.react ||= status === "live";
    const n = Math.max(0, ...rows.map(number));
    if (n > 0 && !window.react.has(n)) {
      window.react.set(n, 0);
      painted(() => window.react.set(n, now()));
    }
  }, [rows, status]);
  return (
    <ul>
      {rows.map((row) => (
        <li key={String(row["id"])}>{`${String(row["name"])}: ${String(row["status"])}`}</li>
      ))}
    </ul>
  );
}

createRoot(document.getElementById("root")!).render(
  <WalwireProvider url={location.origin} token={() => window.token}>
    <List />
  </WalwireProvider>,
);
