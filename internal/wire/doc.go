// Package wire is a client's side of the ways to a walwire server: WebSocket,
// server-sent events and long polls carry the same frames. It knows nothing of what they
// say, but for the key that a welcome brings.
//
// A Conn's goroutine ends with Close, or with the connection.
package wire
