import { DeadlineExceededError, type WalwireError } from "./errors.js";

interface Wait {
  readonly lsn: string;
  settle(error?: WalwireError): void;
}

/** What is waited for: positions of the WAL that are to be shown. */
export class Waits {
  #waits = new Map<number, Wait>();

  add(id: number, lsn: string, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const late = new DeadlineExceededError("deadline-exceeded", `${lsn} has not been reached within ${timeoutMs} ms`);
      const timer = setTimeout(() => this.settle(id, late), timeoutMs);
      this.#waits.set(id, {
        lsn,
        settle: (error) => {
          clearTimeout(timer);
          this.#waits.delete(id);
          if (error) {
            reject(error);
          } else {
            resolve();
          }
        },
      });
    });
  }

  /** Where a wait is for; undefined where it is over. */
  lsn(id: number): string | undefined {
    return this.#waits.get(id)?.lsn;
  }

  forEach(f: (id: number, lsn: string) => void): void {
    this.#waits.forEach((w, id) => f(id, w.lsn));
  }

  settle(id: number, error?: WalwireError): void {
    this.#waits.get(id)?.settle(error);
  }

  rejectAll(error: WalwireError): void {
    [...this.#waits.values()].forEach((w) => w.settle(error));
  }
}
