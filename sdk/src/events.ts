import type { WalwireError } from "./errors.js";
import { safely, type Sub } from "./livequery.js";
import type { Event, EventQuery, Gap } from "./protocol.js";

/** A subscription to events; after leave() nothing is told any more. */
export function listening(id: number, query: EventQuery, listener: (event: Event | Gap) => void, onError?: (error: WalwireError) => void): Sub & { leave(): void } {
  let cursor = "";
  let pending: (Event | Gap)[] = [];
  let left = false;
  const tell = (f: () => void) => left || safely(f);
  const sub: Sub & { leave(): void } = {
    id,
    here: false,
    shown: false,
    request: () => ({ events: query, ...(cursor && { resume: { cursor } }) }),
    apply: (u) => pending.push(...(u.events ?? [])),
    at: (c) => (cursor = c),
    tell: () => {
      const told = pending;
      pending = [];
      told.forEach((e) => tell(() => listener(e)));
    },
    failed: (error) => {
      tell(() => onError?.(error));
      left = true;
    },
    ended: (error) => {
      sub.here = false;
      tell(() => onError?.(error));
    },
    lost: () => {
      sub.here = false;
    },
    leave: () => {
      left = true;
    },
  };
  return sub;
}
