import { expect, test } from "vitest";
import { UnavailableError } from "../src/errors.js";
import { step, ways, type Happening, type State } from "../src/machine.js";

const error = new UnavailableError("unavailable", "gone");

const states: Record<State["name"], State> = {
  stopped: { name: "stopped" },
  waiting: { name: "waiting", attempt: 3, way: "sse" },
  asking: { name: "asking", attempt: 3, way: "sse" },
  opening: { name: "opening", attempt: 3, way: "sse" },
  open: { name: "open", way: "poll" },
};

const happenings = {
  start: { type: "start" },
  stop: { type: "stop" },
  token: { type: "token" },
  "no-token": { type: "no-token", error },
  welcome: { type: "welcome" },
  closed: { type: "closed", error, final: false, refused: false, after: 0 },
  "closed for good": { type: "closed", error, final: true, refused: true, after: 0 },
  timer: { type: "timer" },
  wake: { type: "wake" },
} satisfies Record<string, Happening>;

const same = null;

/** The next state and what is to be done; null: nothing happens. */
const table: Record<State["name"], Record<keyof typeof happenings, [State["name"], ...string[]] | null>> = {
  stopped: {
    start: ["asking", "ask", "wait"], stop: ["stopped"], token: same, "no-token": same, welcome: same,
    closed: same, "closed for good": same, timer: same, wake: same,
  },
  waiting: {
    start: same, stop: ["stopped", "cancel", "close"], token: same, "no-token": same, welcome: same,
    closed: same, "closed for good": same, timer: ["asking", "ask", "wait"], wake: ["asking", "ask", "wait"],
  },
  asking: {
    start: same, stop: ["stopped", "cancel", "close"], token: ["opening", "open", "wait"], "no-token": ["waiting", "wait"], welcome: same,
    closed: same, "closed for good": same, timer: ["waiting", "wait"], wake: same,
  },
  opening: {
    start: same, stop: ["stopped", "cancel", "close"], token: same, "no-token": same, welcome: ["open", "cancel", "greet"],
    closed: ["waiting", "wait"], "closed for good": ["stopped", "cancel"], timer: ["waiting", "close", "wait"], wake: same,
  },
  open: {
    start: same, stop: ["stopped", "cancel", "close"], token: same, "no-token": same, welcome: same,
    closed: ["waiting", "wait"], "closed for good": ["stopped"], timer: same, wake: ["open", "probe"],
  },
};

for (const [name, row] of Object.entries(table)) {
  for (const [happening, want] of Object.entries(row)) {
    test(`${name}: ${happening}`, () => {
      const from = states[name as State["name"]];
      const [to, effects] = step(from, happenings[happening as keyof typeof happenings], () => 0.5);
      if (want === same) {
        expect(to).toBe(from);
        expect(effects).toEqual([]);
        return;
      }
      expect([to.name, ...effects.map((e) => e.do)]).toEqual(want);
    });
  }
}

test("the bound of the jitter doubles from 0.5 s to 20 s, and the server's advice is obeyed", () => {
  const waited = (attempt: number, after: number, random: number) => {
    const [, effects] = step({ name: "opening", attempt, way: "websocket" }, { type: "closed", error, final: false, refused: true, after }, () => random);
    const [e] = effects;
    return e?.do === "wait" ? e.ms : -1;
  };
  expect([0, 1, 2, 3, 4, 5, 6, 7, 20].map((n) => waited(n, 0, 1))).toEqual([500, 1000, 2000, 4000, 8000, 16000, 20000, 20000, 20000]);
  expect(waited(5, 0, 0)).toBe(0);
  expect(waited(0, 9000, 1)).toBe(9000);
});

test("every second failure that nobody answered tries another way, and an open connection begins with the best again", () => {
  let state: State = { name: "asking", attempt: 0, way: "websocket" };
  const tried: string[] = [];
  for (let i = 0; i < 7; i++) {
    [state] = step(state, { type: "token" }, () => 0);
    tried.push(state.name === "opening" ? state.way : "");
    [state] = step(state, { type: "closed", error, final: false, refused: false, after: 0 }, () => 0);
    [state] = step(state, { type: "timer" }, () => 0);
  }
  expect(tried).toEqual(["websocket", "websocket", "sse", "sse", "poll", "poll", "websocket"]);
  [state] = step({ name: "open", way: "poll" }, { type: "closed", error, final: false, refused: false, after: 0 }, () => 0);
  expect(state).toMatchObject({ name: "waiting", attempt: 0, way: ways[0] });
  [state] = step({ name: "opening", attempt: 1, way: "websocket" }, { type: "closed", error, final: false, refused: true, after: 0 }, () => 0);
  expect(state).toMatchObject({ way: "websocket" });
});
