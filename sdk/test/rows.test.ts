import { expect, test } from "vitest";
import { Rows, changesBetween, type Entry } from "../src/rows.js";
import type { Row, Update } from "../src/protocol.js";

const update = (u: Omit<Update, "id">): Update => ({ id: 1, ...u });

/** A list that follows changes one by one, as a list on a screen would. */
function replay(list: Row[], before: readonly Entry[], after: readonly Entry[]): Row[] {
  const out = [...list];
  for (const c of changesBetween(before, after)) {
    if (c.oldIndex >= 0) {
      out.splice(c.oldIndex, 1);
    }
    if (c.newIndex >= 0) {
      out.splice(c.newIndex, 0, c.row);
    }
  }
  return out;
}

test("a row that looks as before stays the same object, over a reset too", () => {
  const rows = new Rows();
  rows.apply(update({ snapshot: { key: ["id"], rows: [{ id: 1, v: "a" }, { id: 2, v: "b" }, { id: 3, v: "c" }] } }));
  const [one, two] = rows.list;
  expect(rows.apply(update({ reset: true, snapshot: { key: ["id"], rows: [{ id: 2, v: "x" }, { id: 1, v: "a" }] } }))).toBe(true);
  expect(rows.list.map((e) => e.row)).toEqual([{ id: 1, v: "a" }, { id: 2, v: "x" }]);
  expect(rows.list[0]).toBe(one);
  expect(rows.list[1]).not.toBe(two);
  const list = rows.list;
  expect(rows.apply(update({ reset: true, snapshot: { key: ["id"], rows: [{ id: 1, v: "a" }, { id: 2, v: "x" }] } }))).toBe(false);
  expect(rows.list).toBe(list);
});

test("changes are those removed, then added, then modified, and replay to the list", () => {
  const random = (seed: number) => () => (seed = (seed * 1103515245 + 12345) % 2147483648) / 2147483648;
  for (let seed = 1; seed <= 300; seed++) {
    const next = random(seed);
    const ordered = seed % 2 === 0;
    const rows = new Rows();
    let shown: Row[] = [];
    let before = rows.list;
    const place = () => String(Math.floor(next() * 1e6)).padStart(6, "0");
    for (let i = 0; i < 20; i++) {
      const ids = new Set(rows.list.map((e) => Number(e.row["id"])));
      const u: { added: Row[]; added_order: string[]; modified: Row[]; modified_order: string[]; removed: Row[] } = { added: [], added_order: [], modified: [], modified_order: [], removed: [] };
      for (let id = 0; id < 12; id++) {
        const luck = next();
        if (!ids.has(id) && luck < 0.3) {
          u.added.push({ id, v: i });
          u.added_order.push(place());
        } else if (ids.has(id) && luck < 0.2) {
          u.removed.push({ id });
        } else if (ids.has(id) && luck < 0.5) {
          u.modified.push({ id, v: luck < 0.4 ? i : 0 });
          u.modified_order.push(place());
        }
      }
      const first = i === 0;
      const order = ordered ? {} : { added_order: [], modified_order: [] };
      rows.apply(first ? update({ snapshot: { key: ["id"], rows: u.added, ...(ordered && { order: u.added_order }) } }) : update({ ...u, ...order }));
      const kinds = changesBetween(before, rows.list).map((c) => c.type);
      expect(kinds).toEqual([...kinds].sort((a, b) => ["removed", "added", "modified"].indexOf(a) - ["removed", "added", "modified"].indexOf(b)));
      shown = replay(shown, before, rows.list);
      before = rows.list;
      expect(shown).toEqual(rows.list.map((e) => e.row));
    }
  }
});
