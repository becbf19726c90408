import {
  Suspense,
  createContext,
  createElement,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
  type ReactNode,
} from "react";
import { WalwireError, connect, type Client, type Condition, type Connection, type Event, type EventQuery, type Gap, type LiveQuery, type Options, type Query, type Result, type Row } from "./index.js";

const Context = createContext<Client | undefined | null>(null);

/** fallback is shown while something below suspends that has no boundary of its own, where the connection is the provider's own. */
export type ProviderProps = { readonly children?: ReactNode; readonly fallback?: ReactNode } & ({ readonly client: Client } | Options);

/** Gives everything below it a connection: the given one, or one of its own that ends with it. */
export function WalwireProvider(props: ProviderProps): ReactNode {
  const given = "client" in props ? props.client : undefined;
  const [own, setOwn] = useState<Client>();
  const options = useRef(props);
  options.current = props;
  const { url, company } = "client" in props ? { url: "", company: undefined } : props;
  useEffect(() => {
    if (given) {
      return;
    }
    const client = connect({
      url,
      ...(company !== undefined && { company }),
      // Always the latest token.
      token: async () => {
        const { token } = options.current as Options;
        return typeof token === "string" ? token : await token();
      },
    });
    setOwn(client);
    return () => client.close();
  }, [given, url, company]);
  // React throws away what suspends before it was shown: the provider must be shown to connect.
  const children = given ? props.children : createElement(Suspense, { fallback: props.fallback }, props.children);
  return createElement(Context.Provider, { value: given ?? own }, children);
}

/** The connection that WalwireProvider gives; undefined until there is one. */
export function useWalwire(): Client | undefined {
  const client = useContext(Context);
  if (client === null) {
    throw new Error("walwire's hooks need a <WalwireProvider> above them");
  }
  return client;
}

const nothing = () => () => {};
const offline: Connection = { status: "disconnected" };
const empty: Result<never> = { rows: [], status: "loading", entries: [], columns: [] };

/** Where the connection is. */
export function useConnection(): Connection {
  const client = useWalwire();
  return useSyncExternalStore(
    useMemo(() => (client ? (f: () => void) => client.onConnection(f) : nothing), [client]),
    () => client?.connection ?? offline,
    () => offline,
  );
}

/** The rows of a query, kept up to date; null asks nothing. A row that did not change stays the same object. */
export function useLiveQuery<R extends object = Row>(query: Query | null): Result<R> {
  return useLive<R>(query).result;
}

function useLive<R extends object>(query: Query | null): { readonly live: LiveQuery<R> | undefined; readonly result: Result<R> } {
  const client = useWalwire();
  const text = JSON.stringify(query);
  const asked = useRef({ text, times: 0 });
  if (asked.current.text !== text) {
    asked.current = { text, times: asked.current.times + 1 };
    if (asked.current.times === 20) {
      console.warn(`useLiveQuery is asked for something else at each render, as by a new Date(), and shows nothing: keep it in useState or useMemo. ${text}`);
    }
  }
  const live = useMemo(() => {
    const q = JSON.parse(text) as Query | null;
    return client && q ? client.liveQuery<R>(q) : undefined;
  }, [client, text]);
  const result = useSyncExternalStore<Result<R>>(
    useMemo(() => (live ? (f: () => void) => live.subscribe(f) : nothing), [live]),
    () => live?.current ?? empty,
    () => empty,
  );
  if (result.status !== "loading") {
    asked.current.times = 0;
  }
  return { live, result };
}

/** useLiveQuery that suspends until the rows are known, and throws what is wrong. */
export function useSuspenseLiveQuery<R extends object = Row>(query: Query): Result<R> {
  const client = useWalwire();
  const { live, result } = useLive<R>(query);
  if (result.error) {
    throw result.error;
  }
  if (result.status === "loading" && typeof window !== "undefined") {
    const wrong = client && errorsOf(client);
    const error = wrong?.get(JSON.stringify(query));
    if (error) {
      throw error;
    }
    throw live && wrong ? loaded(live as object as LiveQuery, wrong) : new Promise<void>((resolve) => setTimeout(resolve));
  }
  return result;
}

/** How long rows are kept for who has waited for them: the same boundary may wait for others as well. */
const keep = 30_000;
/** How long an error is, so that it is thrown once the component is tried again: that asks by another LiveQuery. */
const keepError = 5_000;

type Errors = Map<string, WalwireError>;
const errors = new WeakMap<Client, Errors>();

function errorsOf(client: Client): Errors {
  const there = errors.get(client) ?? new Map<string, WalwireError>();
  errors.set(client, there);
  return there;
}

/** What is waited for. React forgets everything of a component that suspends before it was shown. */
const waiting = new WeakMap<LiveQuery, Promise<void>>();

/** Resolves once there is something to show, or an error among the wrong. */
function loaded(live: LiveQuery, wrong: Errors): Promise<void> {
  const there = waiting.get(live);
  if (there) {
    return there;
  }
  const promise = new Promise<void>((resolve) => {
    let known = false;
    const done = () => {
      known = true;
      waiting.delete(live);
      resolve();
    };
    let timer = setTimeout(() => {
      done(); // nobody may be there any more; who is asks again
      stop();
    }, keep);
    const stop = live.subscribe((r) => {
      if (known || r.status === "loading") {
        return;
      }
      clearTimeout(timer);
      timer = setTimeout(stop, keep);
      if (r.error) {
        const name = JSON.stringify(live.query);
        wrong.set(name, r.error);
        setTimeout(() => wrong.delete(name), keepError);
      }
      done();
    });
  });
  waiting.set(live, promise);
  return promise;
}

/** Calls listener for each event while the component is there. */
export function useEvents<R extends object = Row>(query: EventQuery | null, listener: (event: Event<R> | Gap) => void): { readonly error: WalwireError | undefined } {
  const client = useWalwire();
  const text = JSON.stringify(query);
  const latest = useRef(listener);
  useEffect(() => {
    latest.current = listener;
  });
  const [error, setError] = useState<WalwireError>();
  useEffect(() => {
    const q = JSON.parse(text) as EventQuery | null;
    setError(undefined);
    if (!client || !q) {
      return;
    }
    const leave = client.events<R>(q, (e) => latest.current(e), setError);
    let ended = client.connection.error;
    const stop = client.onConnection(() => {
      const { status, error: why } = client.connection;
      if (status === "connected") { // what ended with the connection before goes on
        setError((e) => (e === ended ? undefined : e));
      }
      ended = status === "disconnected" ? why : ended;
    });
    return () => {
      stop();
      leave();
    };
  }, [client, text]);
  return { error };
}

/** What the hooks of the application's tables have in common. */
export interface Rest {
  readonly status: Result["status"];
  readonly error: WalwireError | undefined;
}

type Filter = string | number | readonly (string | number)[] | undefined;

function equals(conditions: Condition[], column: string, value: Filter): void {
  if (value !== undefined) {
    conditions.push(Array.isArray(value) ? [column, "in", value as string[]] : [column, "==", value as string]);
  }
}

function range(conditions: Condition[], column: string, from: Date | string | undefined, to: Date | string | undefined): void {
  const text = (at: Date | string) => (typeof at === "string" ? at : at.toISOString());
  if (from !== undefined) {
    conditions.push([column, ">=", text(from)]);
  }
  if (to !== undefined) {
    conditions.push([column, "<", text(to)]);
  }
}

export interface AppointmentFilters {
  /** Appointments that begin from then on, and before `to`. */
  readonly from?: Date | string;
  readonly to?: Date | string;
  readonly branch?: string | readonly string[];
  readonly staff?: string | readonly string[];
  readonly client?: string | readonly string[];
  readonly status?: string | readonly string[];
  readonly serviceType?: string | readonly string[];
  readonly limit?: number;
}

/** The appointments that the filters name, by the time they begin. */
export function useRealtimeAppointments<R extends object = Row>(filters: AppointmentFilters = {}): Rest & { readonly appointments: readonly R[] } {
  const where: Condition[] = [];
  range(where, "starts_at", filters.from, filters.to);
  equals(where, "branch_id", filters.branch);
  equals(where, "staff_id", filters.staff);
  equals(where, "client_id", filters.client);
  equals(where, "status", filters.status);
  equals(where, "service_type", filters.serviceType);
  const { rows, status, error } = useLiveQuery<R>({ table: "appointments", where, orderBy: ["starts_at"], ...(filters.limit && { limit: filters.limit }) });
  return { appointments: rows, status, error };
}

export interface ClientFilters {
  readonly status?: string | readonly string[];
  readonly tag?: string;
  /** Names that begin so. */
  readonly name?: string;
  /** Who has checked in and not out since; or who has not. */
  readonly checkedIn?: boolean;
  readonly limit?: number;
}

/** The clients that the filters name, by name. */
export function useRealtimeClients<R extends object = Row>(filters: ClientFilters = {}): Rest & { readonly clients: readonly R[] } {
  const where: Condition[] = [];
  equals(where, "status", filters.status);
  if (filters.tag !== undefined) {
    where.push(["tags", "array-contains", filters.tag]);
  }
  if (filters.name !== undefined) {
    where.push(["name", "starts-with", filters.name]);
  }
  if (filters.checkedIn !== undefined) {
    const here: Condition = { and: [["checked_in_at", "is-null", false], ["checked_out_at", "is-null", true]] };
    where.push(filters.checkedIn ? here : { or: [["checked_in_at", "is-null", true], ["checked_out_at", "is-null", false]] });
  }
  const { rows, status, error } = useLiveQuery<R>({ table: "clients", where, orderBy: ["name"], ...(filters.limit && { limit: filters.limit }) });
  return { clients: rows, status, error };
}

export interface StaffFilters {
  readonly branch?: string | readonly string[];
  readonly role?: string | readonly string[];
  readonly status?: string | readonly string[];
  readonly active?: boolean;
}

/** The staff that the filters name, by name. */
export function useRealtimeStaff<R extends object = Row>(filters: StaffFilters = {}): Rest & { readonly staff: readonly R[] } {
  const where: Condition[] = [];
  equals(where, "branch_id", filters.branch);
  equals(where, "role", filters.role);
  equals(where, "status", filters.status);
  if (filters.active !== undefined) {
    where.push(["active", "==", filters.active]);
  }
  const { rows, status, error } = useLiveQuery<R>({ table: "staff", where, orderBy: ["name"] });
  return { staff: rows, status, error };
}

export interface NotificationFilters {
  readonly kind?: string | readonly string[];
  readonly severity?: string | readonly string[];
  readonly unread?: boolean;
  /** The newest so many; 50 without it. */
  readonly limit?: number;
}

/** The notifications that the token's rules show, the newest first. */
export function useRealtimeNotifications<R extends object = Row>(filters: NotificationFilters = {}): Rest & { readonly notifications: readonly R[] } {
  const where: Condition[] = [];
  equals(where, "kind", filters.kind);
  equals(where, "severity", filters.severity);
  if (filters.unread !== undefined) {
    where.push(["read_at", "is-null", filters.unread]);
  }
  const { rows, status, error } = useLiveQuery<R>({ table: "notifications", where, orderBy: [["created_at", "desc"]], limit: filters.limit ?? 50 });
  return { notifications: rows, status, error };
}

/** The service object that an application calls outside of components. */
export interface RealtimeService {
  /** Resolves with the connection once it is open; rejects where it will not be. */
  connect(authToken: Options["token"]): Promise<Client>;
  disconnect(): void;
  readonly client: Client | undefined;
}

/** Makes one. `WalwireProvider client={service.client}` shares its connection. */
export function createRealtimeService(options: Omit<Options, "token">): RealtimeService {
  let client: Client | undefined;
  return {
    get client() {
      return client;
    },
    connect(authToken) {
      client?.close();
      const c = connect({ ...options, token: authToken });
      client = c;
      return new Promise((resolve, reject) => {
        const look = () => {
          const { status, error } = c.connection;
          if (status === "connecting") {
            return;
          }
          stop();
          if (status === "connected") {
            resolve(c);
          } else {
            reject(error ?? new WalwireError("cancelled", "disconnected before it was connected"));
          }
        };
        const stop = c.onConnection(look);
        look();
      });
    },
    disconnect() {
      client?.close();
      client = undefined;
    },
  };
}
