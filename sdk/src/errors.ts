/** The codes that the server gives, and the two of the client itself. */
export type Code =
  | "invalid-argument"
  | "unauthenticated"
  | "permission-denied"
  | "not-found"
  | "failed-precondition"
  | "resource-exhausted"
  | "deadline-exceeded"
  | "unavailable"
  | "internal"
  | "cancelled";

/** What went wrong. `code` is to branch on, `message` to read. */
export class WalwireError extends Error {
  override readonly name: string = "WalwireError";
  constructor(
    readonly code: Code,
    message: string,
  ) {
    super(message);
  }
  /** The message too, which JSON would leave out. */
  toJSON(): object {
    return { name: this.name, code: this.code, message: this.message };
  }
}

/** The query or the call is wrong, and will be again. */
export class InvalidArgumentError extends WalwireError {
  override readonly name = "InvalidArgumentError";
}

/** There is no token, or none that the server takes. */
export class UnauthenticatedError extends WalwireError {
  override readonly name = "UnauthenticatedError";
}

/** The token does not allow this. */
export class PermissionDeniedError extends WalwireError {
  override readonly name = "PermissionDeniedError";
}

/** The server can't be reached, or can't serve now. */
export class UnavailableError extends WalwireError {
  override readonly name = "UnavailableError";
}

/** It took longer than was allowed. */
export class DeadlineExceededError extends WalwireError {
  override readonly name = "DeadlineExceededError";
}

const classes: Partial<Record<Code, new (code: Code, message: string) => WalwireError>> = {
  "invalid-argument": InvalidArgumentError,
  unauthenticated: UnauthenticatedError,
  "permission-denied": PermissionDeniedError,
  unavailable: UnavailableError,
  "deadline-exceeded": DeadlineExceededError,
};

export function errorOf(code: Code, message: string): WalwireError {
  return new (classes[code] ?? WalwireError)(code, message);
}
