import type { Column, Row, Update } from "./protocol.js";

/** A row of a list, with what names and places it. Immutable: a changed row is another entry. */
export interface Entry<R extends object = Row> {
  readonly key: string;
  readonly row: R;
  /** Its place among others by code units; "" in a query without order. */
  readonly order: string;
}

export type Entries<R extends object = Row> = readonly Entry<R>[];

/** How a list became another, step by step: the indexes are those of the list as it is at that step. */
export interface Change<R extends object = Row> {
  readonly type: "added" | "modified" | "removed";
  readonly row: R;
  readonly oldIndex: number;
  readonly newIndex: number;
}

/** The rows of one live query, as the server tells them. */
export class Rows<R extends object = Row> {
  #entries = new Map<string, Entry<R>>();
  #list: Entries<R> = [];
  #key: readonly string[] = [];
  /** What the rows consist of. */
  columns: readonly Column[] = [];

  /** In their order. Another list whenever anything is another. */
  get list(): Entries<R> {
    return this.#list;
  }

  /** Takes a whole update, and says whether anything has changed. */
  apply(u: Update): boolean {
    const before = this.#entries;
    let changed = false;
    if (u.snapshot) {
      this.#key = u.snapshot.key ?? this.#key;
      this.columns = u.snapshot.columns ?? this.columns;
      this.#entries = new Map();
      u.snapshot.rows.forEach((row, i) => this.#put(row as unknown as R, u.snapshot?.order?.[i] ?? "", before));
    }
    for (const row of u.removed ?? []) {
      changed = this.#entries.delete(this.#keyOf(row)) || changed;
    }
    u.added?.forEach((row, i) => {
      changed = this.#put(row as unknown as R, u.added_order?.[i] ?? "", before) || changed;
    });
    u.modified?.forEach((row, i) => {
      changed = this.#put(row as unknown as R, u.modified_order?.[i] ?? "", before) || changed;
    });
    if (u.snapshot) {
      changed = before.size !== this.#entries.size || [...this.#entries.values()].some((e) => before.get(e.key) !== e);
    }
    if (changed) {
      this.#list = [...this.#entries.values()].sort(compare);
    }
    return changed;
  }

  /** A row that looks as before stays the one it was. */
  #put(row: R, order: string, before: ReadonlyMap<string, Entry<R>>): boolean {
    const key = this.#keyOf(row as unknown as Row);
    const was = before.get(key);
    const same = was !== undefined && was.order === order && JSON.stringify(was.row) === JSON.stringify(row);
    this.#entries.set(key, same ? was : { key, row, order });
    return !same;
  }

  #keyOf(row: Row): string {
    return JSON.stringify(this.#key.map((name) => row[name]));
  }
}

/** By order, and where there is none by key: the same rows always stand alike. */
function compare(a: Entry<object>, b: Entry<object>): number {
  const [x, y] = a.order === b.order ? [a.key, b.key] : [a.order, b.order];
  return x < y ? -1 : x > y ? 1 : 0;
}

/** The changes that make one list of another: those removed, then added, then modified, each in the order of the list. */
export function changesBetween<R extends object>(before: Entries<R>, after: Entries<R>): Change<R>[] {
  if (before === after) {
    return [];
  }
  const then = new Map(before.map((e) => [e.key, e]));
  const now = new Map(after.map((e) => [e.key, e]));
  const running: Entry<R>[] = [];
  const changes: Change<R>[] = [];
  for (const e of before) {
    if (now.has(e.key)) {
      running.push(e);
    } else {
      changes.push({ type: "removed", row: e.row, oldIndex: running.length, newIndex: -1 });
    }
  }
  for (const e of after) {
    if (!then.has(e.key)) {
      const at = place(running, e);
      running.splice(at, 0, e);
      changes.push({ type: "added", row: e.row, oldIndex: -1, newIndex: at });
    }
  }
  for (const e of after) {
    const was = then.get(e.key);
    if (was !== undefined && was !== e) {
      const oldIndex = running.indexOf(was);
      running.splice(oldIndex, 1);
      const newIndex = place(running, e);
      running.splice(newIndex, 0, e);
      changes.push({ type: "modified", row: e.row, oldIndex, newIndex });
    }
  }
  return changes;
}

/** Where e belongs in a list. */
function place(list: Entries<object>, e: Entry<object>): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(list[middle] as Entry<object>, e) < 0) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
