import { WebSocket } from "ws";

// Node has one from version 22 on.
globalThis.WebSocket ??= WebSocket as unknown as typeof globalThis.WebSocket;
