import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { connect, type Client, type Event, type Gap, type Result } from "../src/index.js";
import { until } from "./server.js";
import { Speaker, type Spoken } from "./speaker.js";

const folder = join(import.meta.dirname, "..", "..", "stream", "testdata", "frames");

interface Vector {
  readonly description: string;
  readonly subscriptions: readonly number[];
  readonly resumed?: readonly number[];
  readonly listening?: readonly number[];
  readonly steps: readonly Step[];
}

interface Step {
  readonly frame: Spoken;
  readonly rows?: Readonly<Record<string, readonly unknown[]>>;
  readonly sorted?: Readonly<Record<string, readonly unknown[]>>;
  readonly told?: Readonly<Record<string, readonly unknown[]>>;
  readonly ended?: Readonly<Record<string, string>>;
}

let speaker: Speaker;
let client: Client | undefined;

afterEach(() => {
  client?.close();
  speaker.close();
});

/** Ends the connection, and waits until the client has asked for all again. */
async function comeBack(all: number): Promise<void> {
  speaker.ids.clear();
  speaker.socket!.terminate();
  await until("the client to come back", () => speaker.ids.size === all && client!.connection.status === "connected");
}

/** Waits until the client has taken all that was said. */
async function taken(): Promise<void> {
  const n = speaker.waits.length;
  const reached = client!.wait("0/1");
  await until("the wait to be asked", () => speaker.waits.length > n);
  speaker.say({ type: "waited", id: speaker.waits.at(-1)!, position: "0/1" });
  await reached;
}

for (const file of readdirSync(folder).filter((f) => f.endsWith(".json"))) {
  const vector = JSON.parse(readFileSync(join(folder, file), "utf8")) as Vector;
  test(`${file}: ${vector.description}`, async () => {
    speaker = new Speaker();
    await speaker.listening();
    const c = connect({ url: speaker.url, token: "t" });
    client = c;
    const results = new Map<number, Result>();
    const stops = new Map<number, () => void>();
    const told = new Map<number, (Event | Gap)[]>();
    for (const id of [...vector.subscriptions, ...(vector.resumed ?? [])]) {
      stops.set(id, c.liveQuery({ table: `t${id}` }).subscribe((r) => results.set(id, r)));
    }
    for (const id of vector.listening ?? []) {
      told.set(id, []);
      c.events({ names: [`e${id}.*`] }, (e) => told.get(id)!.push(e));
    }
    const all = stops.size + told.size;
    await until("the subscriptions", () => speaker.ids.size === all);
    if (vector.resumed) {
      for (const id of vector.resumed) {
        speaker.speak({ type: "data", position: "0/1", cursor: "c", subscriptions: [{ id, snapshot: { token: "t", key: ["id"], columns: [], rows: [] } }] } as unknown as Spoken);
      }
      await taken();
      await comeBack(all);
    }
    for (const [i, step] of vector.steps.entries()) {
      for (const [id, code] of Object.entries(step.ended ?? {})) {
        if (code === "") {
          stops.get(Number(id))!();
          results.delete(Number(id));
        }
      }
      told.forEach((list) => list.splice(0));
      speaker.speak(step.frame);
      await taken();
      for (const [id, code] of Object.entries(step.ended ?? {})) {
        if (code !== "") {
          expect(results.get(Number(id))).toMatchObject({ status: "error", error: { code } });
          results.delete(Number(id));
        }
      }
      const held = vector.resumed && i < vector.steps.length - 1; // others that come back are still where they were
      for (const [id, rows] of Object.entries(held ? {} : { ...step.rows })) {
        const shown = results.get(Number(id))?.rows ?? [];
        expect(shown).toHaveLength(rows.length);
        expect(shown).toEqual(expect.arrayContaining([...rows]));
      }
      for (const [id, rows] of Object.entries(held ? {} : { ...step.sorted })) {
        expect(results.get(Number(id))?.rows).toEqual(rows);
      }
      for (const [id, list] of told) {
        expect(list).toEqual(step.told?.[id] ?? []);
      }
    }
  });
}

test("nothing is told until all that was shown is back, and each goes on from where it was itself", async () => {
  speaker = new Speaker();
  await speaker.listening();
  const c = connect({ url: speaker.url, token: "t" });
  client = c;
  const results = new Map<number, Result>();
  for (const id of [1, 2]) {
    c.liveQuery({ table: `t${id}` }).subscribe((r) => results.set(id, r));
  }
  const say = (position: string, cursor: string, ...subscriptions: readonly { readonly id: number }[]) =>
    speaker.speak({ type: "data", position, cursor, subscriptions } as Spoken);
  await until("the subscriptions", () => speaker.ids.size === 2);
  const snapshot = { token: "t", key: ["id"], columns: [], rows: [] };
  say("0/1", "one", { id: 1, snapshot } as { id: number }, { id: 2, snapshot } as { id: number });
  await taken();
  await comeBack(2);
  expect([...speaker.cursors]).toEqual([[1, "one"], [2, "one"]]);
  say("0/2", "two", { id: 1, resumed: true, added: [{ id: "a" }] } as { id: number });
  await taken();
  expect([results.get(1)?.rows, c.position]).toEqual([[], "0/1"]);
  await comeBack(2);
  expect([...speaker.cursors]).toEqual([[1, "two"], [2, "one"]]);
  say("0/3", "three", { id: 1, resumed: true } as { id: number }, { id: 2, resumed: true, added: [{ id: "b" }] } as { id: number });
  await taken();
  expect([results.get(1)?.rows, results.get(2)?.rows, c.position]).toEqual([[{ id: "a" }], [{ id: "b" }], "0/3"]);
});
