import { InvalidArgumentError, UnauthenticatedError, UnavailableError, WalwireError, errorOf, type Code } from "./errors.js";
import { listening } from "./events.js";
import { step, type Effect, type Happening, type State, type Way } from "./machine.js";
import { LiveQuery, safely, unhurried, type Sub } from "./livequery.js";
import { join, type DataFrame, type Event, type EventQuery, type Frame, type Gap, type Query, type Row, type Update } from "./protocol.js";
import { open, wrapping, type Transport } from "./transport.js";
import { Waits } from "./waits.js";

export type Token = string | (() => string | Promise<string>);

export interface Options {
  /** The server, as https://host or https://host/base/path. */
  readonly url: string;
  /** The token, or what gives one: asked at every connection, and before one expires. */
  readonly token: Token;
  /** The company, where the token is for several. */
  readonly company?: string;
}

export interface Connection {
  readonly status: "disconnected" | "connecting" | "connected";
  /** How, while connected. */
  readonly way?: Way;
  /** Why not. */
  readonly error?: WalwireError;
}

/** What may be otherwise the next time; so may be what the server says when to try again. */
const passing: readonly Code[] = ["unavailable", "internal"];
const pingEvery = 25_000;
const pongWithin = 8_000;

const over = () => new WalwireError("cancelled", "the client was closed");

/** One connection, and everything that is subscribed to on it. */
export class Client {
  readonly #options: Options;
  readonly #url: string;
  #state: State = { name: "stopped" };
  #transport: Transport | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pulse: ReturnType<typeof setTimeout> | undefined;
  #after = 0;
  #problem: WalwireError | undefined;
  #connection: Connection = { status: "disconnected" };
  #watchers = new Set<() => void>();
  #synced = new Set<() => void>();
  #queries = new Map<string, LiveQuery>();
  #subs = new Map<number, Sub>();
  #waits = new Waits();
  #partial: Update[] = [];
  #reached = "";
  #position = "";
  #nextID = 1;
  #token = "";
  #frameBytes = Infinity;
  #closed = false;

  constructor(options: Options) {
    this.#options = options;
    this.#url = options.url.replace(/\/+$/, "");
    if (!/^https?:\/\//.test(this.#url)) {
      throw new InvalidArgumentError("invalid-argument", `url must begin with http:// or https://, got ${options.url}`);
    }
    if (options.token === "") {
      throw new InvalidArgumentError("invalid-argument", "the token is empty");
    }
    if (typeof window !== "undefined") {
      window.addEventListener("online", this.#wake);
      document.addEventListener("visibilitychange", this.#wake);
    }
    this.#happen({ type: "start" });
  }

  /** Where the connection is. Another object whenever anything is another. */
  get connection(): Connection {
    return this.#connection;
  }

  /** The position of the WAL that all listeners have been told of; "" before there is one. */
  get position(): string {
    return this.#position;
  }

  /** Calls listener at every change of `connection`. */
  onConnection(listener: () => void): () => void {
    return enlist(this.#watchers, listener);
  }

  /** Calls listener whenever all listeners have been told of a commit. */
  onSync(listener: () => void): () => void {
    return enlist(this.#synced, listener);
  }

  /** A live query. The same one for the same query. */
  liveQuery<R extends object = Row>(query: Query): LiveQuery<R> {
    const name = JSON.stringify(query);
    let q = this.#queries.get(name);
    if (!q) {
      q = new LiveQuery(query, {
        start: (sub) => this.#add(sub),
        stop: (id) => this.#remove(id),
        id: () => this.#nextID++,
        keep: () => this.#queries.has(name) || this.#queries.set(name, q!),
        forget: () => this.#queries.get(name) === q && this.#queries.delete(name),
      });
      this.#queries.set(name, q);
    }
    return q as unknown as LiveQuery<R>;
  }

  /** Calls listener for each event, in the order of commits, and for a gap where some may be missing. */
  events<R extends object = Row>(query: EventQuery, listener: (event: Event<R> | Gap) => void, onError?: (error: WalwireError) => void): () => void {
    const sub = listening(this.#nextID++, query, listener as (event: Event | Gap) => void, onError);
    this.#add(sub);
    return () => {
      sub.leave();
      this.#remove(sub.id);
    };
  }

  /** Resolves when everything up to a position of the WAL has been shown: what the backend gave for a write. */
  wait(lsn: string, timeoutMs = 5000): Promise<void> {
    const refused = this.#refused();
    if (refused) {
      return Promise.reject(refused);
    }
    const id = this.#nextID++;
    const reached = this.#waits.add(id, lsn, timeoutMs);
    if (this.#state.name === "open") {
      this.#askFor(id, lsn);
    }
    return reached;
  }

  /** Connects again at once, where it does not already. */
  reconnect(): void {
    if (this.#closed) {
      return;
    }
    this.#happen({ type: this.#state.name === "stopped" ? "start" : "wake" });
  }

  /** Ends the connection and everything on it. */
  close(): void {
    if (typeof window !== "undefined") {
      window.removeEventListener("online", this.#wake);
      document.removeEventListener("visibilitychange", this.#wake);
    }
    this.#closed = true;
    this.#happen({ type: "stop" });
    const subs = [...this.#subs.values()];
    this.#subs.clear();
    subs.forEach((s) => s.failed(over()));
    this.#waits.rejectAll(over());
  }

  #wake = (): void => {
    if (typeof document === "undefined" || document.visibilityState === "visible") {
      this.#happen({ type: "wake" });
    }
  };

  #happen(happening: Happening): void {
    const before = this.#state;
    const [state, effects] = step(before, happening, Math.random);
    this.#state = state;
    if (before.name === "open" && state.name !== "open") {
      clearTimeout(this.#pulse);
      this.#partial = [];
    }
    effects.forEach((e) => this.#effect(e));
    const over = state.name === "stopped" && before.name !== "stopped" ? state.error : undefined;
    const subs = [...this.#subs.values()];
    if (over) {
      subs.forEach((s) => s.ended(over));
      this.#waits.rejectAll(over);
    } else if (before.name === "open" && state.name !== "open" && happening.type !== "stop") {
      subs.forEach((s) => s.lost());
    }
    this.#announce();
  }

  #effect(e: Effect): void {
    switch (e.do) {
      case "ask":
        void this.#ask();
        return;
      case "open":
        this.#open();
        return;
      case "greet":
        this.#greet();
        return;
      case "probe":
        this.#ping();
        return;
      case "wait":
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#happen({ type: "timer" }), e.ms);
        return;
      case "cancel":
        clearTimeout(this.#timer);
        return;
      case "close":
        this.#transport?.close();
    }
  }

  async #ask(): Promise<void> {
    try {
      this.#token = await this.#give();
      this.#happen({ type: "token" });
    } catch (e) {
      this.#happen({ type: "no-token", error: new UnauthenticatedError("unauthenticated", `no token: ${String(e)}`) });
    }
  }

  async #give(): Promise<string> {
    const { token } = this.#options;
    const given = typeof token === "string" ? token : await token();
    if (!given) {
      throw new Error("it is empty");
    }
    return given;
  }

  #open(): void {
    const way = this.#state.name === "opening" ? this.#state.way : "websocket";
    this.#problem = undefined;
    this.#after = 0;
    const t = open(way, this.#url, this.#token, this.#options.company, {
      frame: (f) => this.#transport === t && this.#frame(f),
      closed: (code, error, after = 0) => {
        if (this.#transport === t) {
          this.#ended(code, this.#problem ?? error, after);
        }
      },
    });
    this.#transport = t;
  }

  #ended(code: number, error: WalwireError = this.#lost(), after = 0): void {
    // A refused token may be another one the next time.
    const final = code >= 4500 && (code !== 4501 || typeof this.#options.token === "string");
    this.#happen({ type: "closed", error, final, refused: code !== 0, after: Math.max(after, this.#after) });
  }

  #lost(): WalwireError {
    const why = this.#state.name === "open" ? "the connection was lost" : `${this.#url} does not answer: is it up, and is this page's origin among its origins?`;
    return new UnavailableError("unavailable", why);
  }

  #greet(): void {
    this.#subs.forEach((s) => this.#subscribe(s));
    this.#waits.forEach((id, lsn) => this.#askFor(id, lsn));
    this.#beat();
  }

  #beat(): void {
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => this.#ping(), pingEvery);
  }

  /** Makes sure that somebody is there. */
  #ping(): void {
    this.#send({ type: "ping" });
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => {
      this.#transport?.close();
      this.#ended(0);
    }, pongWithin);
  }

  #send(frame: object): void {
    this.#transport?.send(frame);
  }

  #askFor(id: number, lsn: string): void {
    this.#send({ type: "wait", id, lsn });
  }

  /** Why nothing can be asked; undefined where it can, now or soon. */
  #refused(): WalwireError | undefined {
    return this.#closed ? over() : this.#state.name === "stopped" ? this.#state.error : undefined;
  }

  #add(s: Sub): void {
    const refused = this.#refused();
    if (this.#closed) {
      setTimeout(() => s.failed(over()), unhurried);
      return;
    }
    this.#subs.set(s.id, s);
    if (refused) {
      setTimeout(() => this.#subs.get(s.id) === s && this.#refused() && s.ended(refused), unhurried);
    }
    if (this.#state.name === "open") {
      this.#subscribe(s);
    }
  }

  #subscribe(s: Sub): void {
    s.here = false;
    const limit = this.#frameBytes - (this.#state.name === "open" && this.#state.way === "websocket" ? 0 : wrapping);
    const fits = (f: object) => new TextEncoder().encode(JSON.stringify(f)).length <= limit;
    let frame: object = { type: "subscribe", id: s.id, ...s.request() };
    if (!fits(frame) && "query" in frame) { // all its rows rather than none
      frame = { ...frame, resume: undefined };
    }
    if (!fits(frame)) {
      const large = new InvalidArgumentError("invalid-argument", `the query is larger than the server takes (limits.frame_bytes, ${this.#frameBytes})`);
      setTimeout(() => this.#subs.get(s.id) === s && this.#end(s, large), unhurried);
      return;
    }
    this.#send(frame);
  }

  #end(s: Sub, error: WalwireError): void {
    this.#subs.delete(s.id);
    s.failed(error);
    this.#tell();
  }

  #remove(id: number): void {
    if (this.#subs.delete(id) && this.#state.name === "open") {
      this.#send({ type: "unsubscribe", id });
      this.#tell(); // others may have waited for it
    }
  }

  #frame(f: Frame): void {
    if (this.#state.name === "open") {
      this.#beat();
    }
    switch (f.type) {
      case "welcome":
        this.#frameBytes = f.frame_bytes ?? Infinity;
        this.#happen({ type: "welcome" });
        return;
      case "data":
        this.#data(f);
        return;
      case "error":
        this.#error(f);
        return;
      case "waited":
        this.#waits.settle(f.id);
        return;
      case "reconnect":
        this.#after = f.after_ms;
        return;
      case "expiring":
        void this.#renew();
    }
  }

  async #renew(): Promise<void> {
    if (typeof this.#options.token === "function") {
      const t = this.#transport;
      try {
        const next = await this.#give();
        if (this.#transport === t) {
          this.#send({ type: "auth", token: next, company: this.#options.company });
        }
      } catch {
        // The connection ends with the token, and asks again then.
      }
    }
  }

  #error(f: Extract<Frame, { type: "error" }>): void {
    const error = errorOf(f.code, f.message);
    if (f.wait !== undefined) {
      const lsn = this.#waits.lsn(f.wait);
      if (lsn !== undefined && f.code === "deadline-exceeded") {
        this.#askFor(f.wait, lsn); // its own timer ends it
      } else {
        this.#waits.settle(f.wait, error);
      }
    } else if (f.id !== undefined) {
      this.#failed(f.id, error, f.retry_ms);
    } else {
      this.#problem = error;
      this.#after = Math.max(this.#after, f.retry_ms ?? 0);
    }
  }

  /** Ends a subscription, or asks for it again later where that may help. */
  #failed(id: number, error: WalwireError, after?: number): void {
    const s = this.#subs.get(id);
    if (!s) {
      return;
    }
    if (after || passing.includes(error.code)) {
      const t = this.#transport;
      s.lost();
      s.shown = false; // the others need not wait for it
      s.refused = Math.min((s.refused ?? 0) + 1, 5);
      this.#tell();
      setTimeout(
        () => {
          if (this.#transport === t && this.#state.name === "open" && this.#subs.get(id) === s) {
            this.#subscribe(s);
          }
        },
        Math.max(after ?? 0, (250 + Math.random() * 1250) * 2 ** s.refused),
      );
      return;
    }
    this.#end(s, error);
  }

  /** Applies a commit to everything it concerns, then tells everybody: no listener sees half of one. */
  #data(f: DataFrame): void {
    this.#partial.push(...f.subscriptions);
    if (f.more) {
      return;
    }
    const parts = this.#partial;
    this.#partial = [];
    this.#reached = f.position;
    for (const u of join(parts)) {
      const s = this.#subs.get(u.id);
      if (s) {
        s.here = true;
        s.refused = 0;
        s.apply(u);
      }
    }
    if (f.cursor !== undefined) {
      const cursor = f.cursor;
      this.#subs.forEach((s) => s.here && s.at(cursor));
    }
    this.#tell();
  }

  #tell(): void {
    for (const s of this.#subs.values()) {
      if (s.shown && !s.here) {
        return; // others that come back are still where they were
      }
    }
    this.#position = this.#reached;
    [...this.#subs.values()].forEach((s) => s.tell());
    [...this.#synced].forEach(safely);
  }

  #announce(): void {
    const s = this.#state;
    const next: Connection =
      s.name === "open"
        ? { status: "connected", way: s.way }
        : { status: s.name === "stopped" ? "disconnected" : "connecting", ...(s.error && { error: s.error }) };
    const { status, way, error } = this.#connection;
    if (next.status !== status || next.way !== way || next.error !== error) {
      this.#connection = next;
      [...this.#watchers].forEach(safely);
    }
  }
}

/** Puts a listener into a set, also one that is there already. */
function enlist(set: Set<() => void>, listener: () => void): () => void {
  const own = () => listener();
  set.add(own);
  return () => set.delete(own);
}

/** Connects, and stays connected until it is closed. */
export function connect(options: Options): Client {
  return new Client(options);
}
