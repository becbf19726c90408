import {
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
import { WalwireError, connect, type Client, type Condition, type Connection, type Event, type EventQuery, type Gap, type Options, type Query, type Result, type Row } from "./index.js";

const Context = createContext<Client | undefined | null>(null);

export type ProviderProps = { readonly children?: ReactNode } & ({ readonly client: Client } | Options);

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
  return createElement(Context.Provider, { value: given ?? own }, props.children);
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
  return result;
}

/** useLiveQuery that suspends until the rows are known, and throws what is wrong. */
export function useSuspenseLiveQuery<R extends object = Row>(query: Query): Result<R> {
  const client = useWalwire();
  const result = useLiveQuery<R>(query);
  if (result.error) {
    throw result.error;
  }
  if (result.status === "loading" && typeof window !== "undefined") {
    const waited = client && loaded(client, query);
    if (waited?.error) {
      throw waited.error;
    }
    throw waited?.promise ?? new Promise<void>((resolve) => setTimeout(resolve));
  }
  return result;
}

interface Waited {
  readonly promise: Promise<void>;
  error?: WalwireError | undefined;
}

/** What is waited for. React forgets everything of a component that suspends before it was shown. */
const waiting = new WeakMap<Client, Map<string, Waited>>();
/** How long rows are kept for who has waited for them: the same boundary may wait for others as well. */
const keep = 30_000;
/** How long an error is, so that it is thrown once the component is tried again. */
const keepError = 5_000;

function loaded(client: Client, query: Query): Waited {
  const all = waiting.get(client) ?? new Map<string, Waited>();
  waiting.set(client, all);
  const name = JSON.stringify(query);
  const there = all.get(name);
  if (there) {
    return there;
  }
  let resolve = () => {};
  const waited: Waited = { promise: new Promise((r) => (resolve = r)) };
  all.set(name, waited);
  const end = () => {
    all.delete(name);
    stop();
    resolve(); // nobody may be there any more; who is asks again
  };
  let timer = setTimeout(end, keep);
  const stop = client.liveQuery(query).subscribe((r) => {
    if (r.status !== "loading") {
      waited.error = r.error;
      resolve();
      clearTimeout(timer);
      timer = setTimeout(end, r.error ? keepError : keep);
    }
  });
  return waited;
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
    return client && q ? client.events<R>(q, (e) => latest.current(e), setError) : undefined;
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
