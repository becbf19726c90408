// A Socket.IO server as the documentation has it: every client joins its company's room,
// and a line on stdin is emitted to the room. It listens on a free port, prints where, and
// ends when stdin does.
import { createServer } from "node:http";
import { createInterface } from "node:readline";
import { Server } from "socket.io";

const room = "company:1";
const server = createServer();
const io = new Server(server, {
  transports: ["websocket"],
  serveClient: false,
  pingInterval: 600_000, // no pings fall into a measurement
});
// What its documentation advises against memory use.
io.engine.on("connection", (socket) => {
  socket.request = null;
});
io.on("connection", (socket) => socket.join(room));

server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 }, () => {
  const { address, port } = server.address();
  console.log(`${address}:${port}`);
});

createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    if (order.emit !== undefined) {
      io.to(room).emit("appointment.updated", JSON.parse(order.emit));
    } else {
      global.gc();
      console.log(JSON.stringify({ resident: process.memoryUsage().rss }));
    }
  })
  .on("close", () => process.exit());
