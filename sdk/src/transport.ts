import { UnavailableError, errorOf, type Code, type WalwireError } from "./errors.js";
import type { Way } from "./machine.js";
import type { Frame } from "./protocol.js";

/** A connection by one of the ways. */
export interface Transport {
  send(frame: object): void;
  close(): void;
}

export interface Handlers {
  frame(frame: Frame): void;
  /** At most once, and nothing comes after it. `code` is a close code, 0 without one. */
  closed(code: number, error?: WalwireError, after?: number): void;
}

/** Opens a connection. `url` is the server's, as http(s)://host/base. */
export function open(way: Way, url: string, token: string, company: string | undefined, handlers: Handlers): Transport {
  let over = false;
  const once: Handlers = {
    frame: (f) => {
      if (!over) {
        handlers.frame(f);
      }
    },
    closed: (code, error, after) => {
      if (!over) {
        over = true;
        handlers.closed(code, error, after);
      }
    },
  };
  const t = way === "websocket" ? webSocket(url, token, company, once) : byRequests(way, url, token, company, once);
  return {
    send: t.send,
    close: () => {
      over = true;
      t.close();
    },
  };
}

function webSocket(url: string, token: string, company: string | undefined, handlers: Handlers): Transport {
  let socket: WebSocket;
  try {
    socket = new WebSocket(`${url.replace(/^http/, "ws")}/v1/stream`, "walwire.v1");
  } catch { // there is none, or the page may not use it
    setTimeout(() => handlers.closed(0));
    return { send: () => {}, close: () => {} };
  }
  socket.onopen = () => socket.send(JSON.stringify({ type: "auth", token, company }));
  socket.onmessage = (e) => handlers.frame(JSON.parse(String(e.data)) as Frame);
  socket.onerror = () => {}; // what follows it is told; some of Node's end the process where nobody listens
  socket.onclose = (e) => handlers.closed(e.code < 4000 ? 0 : e.code, e.code < 4000 ? undefined : new UnavailableError("unavailable", e.reason));
  return {
    send: (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame)),
    close: () => socket.close(),
  };
}

/** Retry-After in milliseconds: seconds or a date, at most a day. */
function retryAfter(response: Response): number {
  const text = response.headers.get("Retry-After") ?? "0";
  const ms = /^\d+$/.test(text) ? 1000 * Number(text) : Date.parse(text) - Date.now();
  return Math.min(Math.max(ms || 0, 0), 86_400_000);
}

/** Close codes for the answers of HTTP that mean the same. */
const closeCodes: Record<number, number> = { 401: 4501, 403: 4502, 429: 4003 };

/** What a request of frames is wrapped in, at most. */
export const wrapping = 256;

/** The two ways without WebSocket: what the server says comes in responses, what the client says goes in requests of its own. */
function byRequests(way: Way, url: string, token: string, company: string | undefined, handlers: Handlers): Transport {
  const ended = new AbortController();
  const waiting: object[] = [];
  let key = "";
  let sending = false;
  let most = 32 * 1024; // octets of frames in one request
  const end = (code: number, error?: WalwireError, after?: number) => {
    ended.abort();
    handlers.closed(code, error, after);
  };
  const call = async (path: string, body?: object): Promise<Response> => {
    const headers: Record<string, string> = body ? { "Content-Type": "application/json" } : {};
    if (key === "") {
      headers["Authorization"] = `Bearer ${token}`;
    }
    const response = await fetch(url + path, { method: body ? "POST" : "GET", headers, signal: ended.signal, cache: "no-store", ...(body && { body: JSON.stringify(body) }) });
    if (!response.ok) {
      const told = (await response.json().catch(() => ({}))) as { code?: Code; message?: string };
      const error = errorOf(told.code ?? "unavailable", told.message ?? `HTTP ${response.status}`);
      // Without a code it is not walwire's answer, but that of something before it.
      end((told.code && closeCodes[response.status]) ?? 0, error, retryAfter(response));
      throw error;
    }
    return response;
  };
  const take = (f: Frame) => {
    if (f.type === "close") {
      end(f.code, new UnavailableError("unavailable", f.reason));
      return;
    }
    if (f.type === "welcome") {
      key = f.key ?? "";
      most = Math.min(most, (f.frame_bytes ?? Infinity) - wrapping);
    }
    handlers.frame(f);
    void flush();
  };
  const flush = async () => {
    if (sending || key === "" || waiting.length === 0) {
      return;
    }
    sending = true;
    let n = 0;
    for (let size = 0; n < waiting.length && n < 50; n++) {
      size += new TextEncoder().encode(JSON.stringify(waiting[n])).length + 1;
      if (n > 0 && size > most) {
        break;
      }
    }
    const frames = waiting.splice(0, n);
    try {
      await call("/v1/send", { key, frames });
      sending = false;
      void flush();
    } catch {
      end(0);
    }
  };
  const events = async (query: string) => {
    const body = (await call("/v1/sse" + query)).body;
    const reader = body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      const parts = (text + value).replace(/\r\n?/g, "\n").split("\n\n");
      text = parts.pop() as string;
      for (const part of parts) {
        const data = part.split("\n").filter((l) => l.startsWith("data:")).map((l) => l.slice(5).trimStart()).join("\n");
        if (data !== "") {
          take(JSON.parse(data) as Frame);
        }
      }
    }
  };
  const polls = async (query: string) => {
    for (let n = 1; !ended.signal.aborted; n++) {
      const answer = (await (await call("/v1/poll" + (n === 1 ? query : ""), n === 1 ? {} : { key, poll: n })).json()) as { frames: Frame[] };
      answer.frames.forEach(take);
    }
  };
  const query = company === undefined ? "" : `?company=${encodeURIComponent(company)}`;
  (way === "sse" ? events(query) : polls(query)).then(
    () => end(0),
    () => end(0),
  );
  return {
    send: (frame) => {
      waiting.push(frame);
      void flush();
    },
    close: () => ended.abort(),
  };
}
