export { connect, Client, LiveQuery } from "./client.js";
export type { Connection, Listener, Options, Result, Status, Token } from "./client.js";
export { changesBetween } from "./rows.js";
export type { Change, Entries, Entry } from "./rows.js";
export type { Condition, Event, EventQuery, Gap, Json, Order, Query, Row } from "./protocol.js";
export {
  DeadlineExceededError,
  InvalidArgumentError,
  PermissionDeniedError,
  UnauthenticatedError,
  UnavailableError,
  WalwireError,
} from "./errors.js";
export type { Code } from "./errors.js";
