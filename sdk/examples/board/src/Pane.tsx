import { memo, useMemo, useState } from "react";
import { WalwireProvider, useConnection, useEvents, useRealtimeAppointments, useRealtimeClients, useRealtimeNotifications, useRealtimeStaff } from "walwire/react";
import { tokenOf, type Done, type Person } from "./backend.js";
import type { Appointment, Customer, Notification, Staff } from "./rows.js";

type Run = (who: string, action: string, id: string) => Promise<Done | undefined>;
type Act = (action: string, id: string) => void;

interface PaneProps {
  readonly side: string;
  readonly list: readonly Person[];
  readonly who: string;
  readonly choose: (name: string) => void;
  readonly run: Run;
}

/** One person's view. */
export function Pane({ side, list, who, choose, run }: PaneProps) {
  const person = list.find((p) => p.name === who) ?? list[0]!;
  return (
    <section className="pane" aria-label={`${side}: ${person.label}`}>
      <WalwireProvider key={person.name} url={location.origin} token={() => tokenOf(person.name)}>
        <header>
          <label>
            <span className="hidden">{side} pane shows</span>
            <select value={person.name} onChange={(e) => choose(e.target.value)}>
              {list.map((p) => (
                <option key={p.name} value={p.name}>
                  {p.label}
                </option>
              ))}
            </select>
          </label>
          <Badge />
          <Bell act={(action, id) => void run(person.label, action, id)} />
        </header>
        <Body person={person} run={run} />
      </WalwireProvider>
    </section>
  );
}

const badges = { connected: "live", connecting: "connecting", disconnected: "offline" } as const;

function Badge() {
  const { status, way, error } = useConnection();
  return (
    <span className={`badge ${status}`} role="status" title={error?.message ?? way ?? ""}>
      {badges[status]}
    </span>
  );
}

function Body({ person, run }: { readonly person: Person; readonly run: Run }) {
  const act = useMemo<Act>(() => (action, id) => void run(person.label, action, id), [run, person.label]);
  const { staff, status, error } = useRealtimeStaff<Staff>();
  const { from, to } = useMemo(today, []);
  const { appointments, status: loaded } = useRealtimeAppointments<Appointment>({ from, to });
  const { clients } = useRealtimeClients<Customer>();
  const names = useMemo(() => new Map(clients.map((c) => [c.id, c.name])), [clients]);
  if (error) {
    return <p className="problem" role="alert">{error.message}</p>;
  }
  if (status === "loading" || loaded === "loading") {
    return <Skeleton />;
  }
  return (
    <div className={status === "stale" ? "stale" : undefined}>
      <Feed />
      <Board staff={staff} appointments={appointments} names={names} act={act} />
      <Team staff={staff} act={act} />
      <CheckIn clients={clients} act={act} />
    </div>
  );
}

/** From the last midnight for two days: what is left of the night still shows something. */
function today(): { readonly from: string; readonly to: string } {
  const from = new Date();
  from.setHours(0, 0, 0, 0);
  const to = new Date(from);
  to.setDate(to.getDate() + 2);
  return { from: from.toISOString(), to: to.toISOString() };
}

function Skeleton() {
  return (
    <div className="skeleton" aria-label="loading" aria-busy="true">
      {[0, 1, 2, 3, 4, 5].map((i) => (
        <span key={i} />
      ))}
    </div>
  );
}

/** The last event that came. */
function Feed() {
  const [text, setText] = useState("");
  useEvents({ names: ["*"] }, (e) => setText(e.event === "gap" ? "some events were missed" : e.event));
  return (
    <p className="feed" aria-live="polite">
      {text === "" ? "No event yet." : <>Last event: <code>{text}</code></>}
    </p>
  );
}

interface BoardProps {
  readonly staff: readonly Staff[];
  readonly appointments: readonly Appointment[];
  readonly names: ReadonlyMap<string, string>;
  readonly act: Act;
}

/** The day, a column for each who has appointments. */
function Board({ staff, appointments, names, act }: BoardProps) {
  const columns = useMemo(() => {
    const by = Map.groupBy(appointments, (a) => a.staff_id ?? "");
    const known = staff.filter((s) => by.has(s.id)).map((s) => ({ id: s.id, name: s.name, list: by.get(s.id)! }));
    const others = [...by].filter(([id]) => !staff.some((s) => s.id === id));
    return [...known, ...others.map(([id, list]) => ({ id, name: id === "" ? "Not assigned" : "Somebody else", list }))];
  }, [staff, appointments]);
  const anybody = staff[0];
  return (
    <section aria-label="Appointments" className="board">
      <h2>
        Today and tomorrow <small>{appointments.length}</small>
        {anybody && (
          <span className="tools">
            <button type="button" onClick={() => act("book", anybody.id)}>Book</button>
            <button type="button" onClick={() => act("everything", anybody.id)} title="One UPDATE, one frame">Change all</button>
          </span>
        )}
      </h2>
      {columns.length === 0 && <p className="empty">No appointment that you may see.</p>}
      <div className="columns">
        {columns.map((c) => (
          <div key={c.id} className="column">
            <h3>{c.name}</h3>
            <ul>
              {c.list.map((a) => (
                <Card key={a.id} a={a} name={names.get(a.client_id ?? "")} act={act} />
              ))}
            </ul>
          </div>
        ))}
      </div>
    </section>
  );
}

const next: Partial<Record<Appointment["status"], readonly [action: string, label: string]>> = {
  pending: ["confirm", "Confirm"],
  confirmed: ["check-in", "Check in"],
  checked_in: ["start", "Start"],
  in_progress: ["complete", "Complete"],
};

/** The time of day, with the day where it is not today. */
function clock(at: string): string {
  const then = new Date(at);
  const day = then.toDateString() === new Date().toDateString() ? "" : `${then.toLocaleDateString([], { weekday: "short" })} `;
  return day + then.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
}

const Card = memo(function Card({ a, name, act }: { readonly a: Appointment; readonly name: string | undefined; readonly act: Act }) {
  const step = next[a.status];
  const over = a.status === "completed" || a.status === "cancelled" || a.status === "no_show";
  return (
    <li className={`card ${a.status}`} aria-label={`${clock(a.starts_at)} ${a.service_type}, ${a.status.replace("_", " ")}`}>
      <p className="what">
        <time dateTime={a.starts_at}>{clock(a.starts_at)}</time> <strong>{a.service_type}</strong>
        <span className="state">{a.status.replace("_", " ")}</span>
      </p>
      <p className="detail">
        {name ?? (a.client_id ? "a client" : "walk-in")}
        {a.price !== undefined && a.price !== null && <span className="price">{a.price}</span>}
      </p>
      {a.internal_notes && <p className="internal">{a.internal_notes}</p>}
      {!over && (
        <p className="actions">
          {step && <button type="button" onClick={() => act(step[0], a.id)}>{step[1]}</button>}
          <button type="button" onClick={() => act("later", a.id)} aria-label="30 minutes later">+30</button>
          <button type="button" className="quiet" onClick={() => act("cancel", a.id)}>Cancel</button>
        </p>
      )}
    </li>
  );
});

const states: readonly Staff["status"][] = ["available", "busy", "on_break", "off"];

function Team({ staff, act }: { readonly staff: readonly Staff[]; readonly act: Act }) {
  return (
    <section aria-label="Staff" className="team">
      <h2>
        Staff <small>{staff.length}</small>
      </h2>
      <ul>
        {staff.map((s) => (
          <Member key={s.id} s={s} act={act} />
        ))}
      </ul>
    </section>
  );
}

const Member = memo(function Member({ s, act }: { readonly s: Staff; readonly act: Act }) {
  return (
    <li>
      <span className={`dot ${s.status}`} aria-hidden="true" />
      {s.name}
      <select aria-label={`Status of ${s.name}`} value={s.status} onChange={(e) => act(e.target.value, s.id)}>
        {states.map((state) => (
          <option key={state} value={state}>{state.replace("_", " ")}</option>
        ))}
      </select>
    </li>
  );
});

function CheckIn({ clients, act }: { readonly clients: readonly Customer[]; readonly act: Act }) {
  const shown = clients.slice(0, 12);
  return (
    <section aria-label="Clients" className="clients">
      <h2>
        Clients <small>{clients.length}</small>
      </h2>
      {shown.length === 0 && <p className="empty">No client that you may see.</p>}
      <ul>
        {shown.map((c) => (
          <Guest key={c.id} c={c} act={act} />
        ))}
      </ul>
      {clients.length > shown.length && <p className="empty">and {clients.length - shown.length} more</p>}
    </section>
  );
}

const Guest = memo(function Guest({ c, act }: { readonly c: Customer; readonly act: Act }) {
  const told = c.checked_in_at !== undefined;
  const here = told && c.checked_in_at !== null && c.checked_out_at === null;
  return (
    <li>
      {c.name}
      {told && (
        <button type="button" aria-pressed={here} onClick={() => act(here ? "leave" : "arrive", c.id)} aria-label={here ? `${c.name} leaves` : `${c.name} arrives`}>
          {here ? "Here" : "Check in"}
        </button>
      )}
    </li>
  );
});

function Bell({ act }: { readonly act: Act }) {
  const [open, setOpen] = useState(false);
  const { notifications } = useRealtimeNotifications<Notification>({ limit: 20 });
  const { staff } = useRealtimeStaff<Staff>();
  const unread = notifications.filter((n) => n.read_at === null).length;
  const anybody = staff[0];
  return (
    <div className="bell">
      <button type="button" aria-expanded={open} aria-label={`Notifications, ${unread} unread`} onClick={() => setOpen(!open)}>
        <svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true">
          <path d="M12 3a6 6 0 0 0-6 6v4l-2 4h16l-2-4V9a6 6 0 0 0-6-6Zm-2 16a2 2 0 0 0 4 0" fill="none" stroke="currentColor" strokeWidth="1.8" strokeLinejoin="round" strokeLinecap="round" />
        </svg>
        {unread}
      </button>
      {open && (
        <div className="drop">
          {anybody && <button type="button" onClick={() => act("broadcast", anybody.id)}>Tell everybody</button>}
          {notifications.length === 0 && <p className="empty">Nothing to read.</p>}
          <ul>
            {notifications.map((n) => (
              <li key={n.id} className={n.read_at === null ? "unread" : undefined}>
                <strong>{n.title}</strong> {n.body}
                {n.read_at === null && <button type="button" className="quiet" onClick={() => act("read", n.id)}>Read</button>}
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
