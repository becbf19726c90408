export { connect, Client } from "./client.js";
export type { Connection, Options, Token } from "./client.js";
export { LiveQuery } from "./livequery.js";
export type { Listener, Result, Status } from "./livequery.js";
export { changesBetween } from "./rows.js";
export type { Change, Entries, Entry } from "./rows.js";
export { isGap } from "./protocol.js";
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
