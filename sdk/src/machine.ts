import { UnavailableError, type WalwireError } from "./errors.js";

/** How many ways there are to the server, the best first. */
export const ways = ["websocket", "sse", "poll"] as const;
export type Way = (typeof ways)[number];

/** Where a connection is. `attempt` counts failures since it was last open. */
export type State =
  | { readonly name: "stopped"; readonly error?: WalwireError | undefined }
  | { readonly name: "waiting"; readonly attempt: number; readonly way: Way; readonly error?: WalwireError | undefined }
  | { readonly name: "asking"; readonly attempt: number; readonly way: Way; readonly error?: WalwireError | undefined }
  | { readonly name: "opening"; readonly attempt: number; readonly way: Way; readonly error?: WalwireError | undefined }
  | { readonly name: "open"; readonly way: Way };

/** What happens to it. */
export type Happening =
  | { readonly type: "start" }
  | { readonly type: "stop" }
  | { readonly type: "token" }
  | { readonly type: "no-token"; readonly error: WalwireError }
  | { readonly type: "welcome" }
  /** The connection has ended. `final`: it will not be otherwise. `after`: not before so many milliseconds. */
  | { readonly type: "closed"; readonly error: WalwireError; readonly final: boolean; readonly refused: boolean; readonly after: number }
  | { readonly type: "timer" }
  /** The network is back, or the page is looked at again. */
  | { readonly type: "wake" };

/** What is to be done about it. */
export type Effect =
  | { readonly do: "ask" | "open" | "greet" | "close" | "probe" | "cancel" }
  | { readonly do: "wait"; readonly ms: number };

const least = 500;
const most = 20_000;
/** How long a token may take, and a connection until it is welcomed. */
const tokenWithin = 30_000;
const welcomeWithin = 10_000;

const late = (what: string, ms: number) => new UnavailableError("unavailable", `${what} within ${ms / 1000} s`);

/** Full jitter: anything up to a bound that doubles. */
function backoff(attempt: number, after: number, random: () => number): number {
  return Math.max(after, random() * Math.min(most, least * 2 ** attempt));
}

/** The way to try after a failure: another one after every second that nobody refused. */
function next(way: Way, attempt: number, refused: boolean): Way {
  if (refused || attempt % 2 === 0) {
    return way;
  }
  return ways[(ways.indexOf(way) + 1) % ways.length] ?? way;
}

/** What a connection does next. Pure but for `random`. */
export function step(state: State, happening: Happening, random: () => number): [State, readonly Effect[]] {
  const stay: [State, readonly Effect[]] = [state, []];
  if (happening.type === "stop") {
    return state.name === "stopped" ? [{ name: "stopped" }, []] : [{ name: "stopped" }, [{ do: "cancel" }, { do: "close" }]];
  }
  const asking = (attempt: number, way: Way, error?: WalwireError): [State, readonly Effect[]] => [
    { name: "asking", attempt, way, error },
    [{ do: "ask" }, { do: "wait", ms: tokenWithin }],
  ];
  const failed = (attempt: number, way: Way, error: WalwireError, after = 0, ...first: Effect[]): [State, readonly Effect[]] => [
    { name: "waiting", attempt, way, error },
    [...first, { do: "wait", ms: backoff(Math.max(attempt - 1, 0), after, random) }],
  ];
  switch (state.name) {
    case "stopped":
      return happening.type === "start" ? asking(0, ways[0]) : stay;
    case "waiting":
      return happening.type === "timer" || happening.type === "wake" ? asking(state.attempt, state.way, state.error) : stay;
    case "asking":
      switch (happening.type) {
        case "token":
          return [{ ...state, name: "opening" }, [{ do: "open" }, { do: "wait", ms: welcomeWithin }]];
        case "no-token":
          return failed(state.attempt + 1, state.way, happening.error);
        case "timer":
          return failed(state.attempt + 1, state.way, late("no token", tokenWithin));
      }
      return stay;
    case "opening":
      switch (happening.type) {
        case "welcome":
          return [{ name: "open", way: state.way }, [{ do: "cancel" }, { do: "greet" }]];
        case "timer":
          return failed(state.attempt + 1, next(state.way, state.attempt, false), late("no answer", welcomeWithin), 0, { do: "close" });
        case "closed":
          return happening.final
            ? [{ name: "stopped", error: happening.error }, [{ do: "cancel" }]]
            : failed(state.attempt + 1, next(state.way, state.attempt, happening.refused), happening.error, happening.after);
      }
      return stay;
    case "open":
      switch (happening.type) {
        case "wake":
          return [state, [{ do: "probe" }]];
        case "closed": // the better ways are tried again
          return happening.final ? [{ name: "stopped", error: happening.error }, []] : failed(0, ways[0], happening.error, happening.after);
      }
      return stay;
  }
}
