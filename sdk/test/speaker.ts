import type { AddressInfo } from "node:net";
import { WebSocketServer, type WebSocket as Socket } from "ws";
import { until } from "./server.js";

interface Asked {
  readonly type: string;
  readonly id: number;
  readonly token?: string;
  readonly query?: { readonly table: string };
  readonly resume?: { readonly cursor: string };
}

/** A frame with a vector's ids. */
export interface Spoken {
  readonly type: string;
  readonly id?: number;
  readonly subscriptions?: readonly { readonly id: number }[];
}

/** A server that says what it is told to, over real sockets. */
export class Speaker {
  readonly #listener = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  socket: Socket | undefined;
  /** The client's ids by those of the vector, which its tables are named by. */
  ids = new Map<number, number>();
  /** Where each asked to go on. */
  cursors = new Map<number, string | undefined>();
  waits: number[] = [];
  tokens: string[] = [];

  constructor(readonly frameBytes?: number) {
    this.#listener.on("connection", (socket) => {
      this.socket = socket;
      this.ids.clear();
      socket.on("message", (data: Buffer) => {
        const f = JSON.parse(data.toString()) as Asked & { readonly events?: { readonly names: readonly string[] } };
        if (f.type === "auth") {
          this.tokens.push(f.token ?? "");
          this.say({ type: "welcome", protocol: "walwire.v1", user: "u", company: "c", roles: [], position: "0/1", frame_bytes: this.frameBytes });
        } else if (f.type === "subscribe") {
          const n = Number((f.query?.table ?? f.events!.names[0]!).replace(/\D/g, ""));
          this.cursors.set(n, f.resume?.cursor);
          this.ids.set(n, f.id);
        } else if (f.type === "wait") {
          this.waits.push(f.id);
        }
      });
    });
  }

  async listening(): Promise<void> {
    await until("the speaker to listen", () => this.#listener.address() !== null);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  say(frame: object): void {
    this.socket!.send(JSON.stringify(frame));
  }

  /** Says a frame of a vector, with the client's ids. */
  speak(frame: Spoken): void {
    const of = (id: number) => this.ids.get(id) ?? 1_000_000 + id;
    this.say({
      ...frame,
      ...(frame.id !== undefined && { id: of(frame.id) }),
      ...(frame.subscriptions && { subscriptions: frame.subscriptions.map((u) => ({ ...u, id: of(u.id) })) }),
    });
  }

  close(): void {
    this.#listener.clients.forEach((c) => c.terminate());
    this.#listener.close();
  }
}
