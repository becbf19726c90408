export type DocumentData = { readonly [field: string]: unknown };
export type WhereFilterOp = "<" | "<=" | "==" | "!=" | ">=" | ">" | "array-contains" | "in" | "array-contains-any" | "not-in";
export type OrderByDirection = "asc" | "desc";

/** What went wrong, with Firestore's codes. */
export class FirestoreError extends Error {
  override readonly name = "FirebaseError";
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export const invalid = (message: string): never => {
  throw new FirestoreError("invalid-argument", message);
};

/** A point in time, to the nanosecond. PostgreSQL's are to the microsecond. */
export class Timestamp {
  constructor(
    readonly seconds: number,
    readonly nanoseconds: number,
  ) {}
  static now(): Timestamp {
    return Timestamp.fromMillis(Date.now());
  }
  static fromDate(date: Date): Timestamp {
    return Timestamp.fromMillis(date.getTime());
  }
  static fromMillis(ms: number): Timestamp {
    const seconds = Math.floor(ms / 1000);
    return new Timestamp(seconds, Math.floor((ms - seconds * 1000) * 1e6));
  }
  toMillis(): number {
    return this.seconds * 1000 + this.nanoseconds / 1e6;
  }
  toDate(): Date {
    return new Date(this.toMillis());
  }
  isEqual(other: Timestamp): boolean {
    return this.seconds === other.seconds && this.nanoseconds === other.nanoseconds;
  }
  /** RFC 3339 with microseconds, as the server has it. */
  toString(): string {
    return new Date(this.seconds * 1000).toISOString().replace(/\.000Z$/, `.${String(Math.floor(this.nanoseconds / 1000)).padStart(6, "0")}Z`);
  }
  toJSON(): string {
    return this.toString();
  }
  valueOf(): string {
    return String(this.seconds + 62135596800).padStart(12, "0") + "." + String(this.nanoseconds).padStart(9, "0");
  }
}
