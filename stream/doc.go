// Package stream keeps live queries: it takes the ordered feed of commits that
// package cdc reads, finds the queries that each commit concerns, and writes to
// every client what it does not know yet.
//
// # Data flow
//
//	cdc.Feed ─ Batch ─> Hub.route ─ by company ─> inbox ─> company.apply ─> view.chain <─ cursor ─ session ─> transport
//	                                                              ^
//	                       Snapshotter.Read <── a view's hand-off ┘
//
// A Hub sorts the changes of each transaction by company: that of the new row,
// and that of the old row where it is another. A company nets them by key, finds
// the views that show the row as it was (references from the row) and those that
// show it as it is (the index), encodes it once for each set of visible columns, and
// appends one entry a commit to the chain of each view concerned. A session is a
// cursor into the chains of its views.
//
// # Ordering
//
// A company's position moves commit by commit, in WAL order. What it has applied
// becomes readable all at once (publish, under company.mu), so a session that
// collects sees all its queries at one commit. A session that is behind takes
// several entries as one: a row that changed ten times is sent once.
//
// # The hand-off
//
// A view that is opened stands in the index at once and keeps, key by key, the
// last that the stream says (its overlay), beginning with the commits that no
// snapshot is known to see. Its rows are read in a snapshot; once the stream has passed the
// snapshot's position, the overlay's rows whose transaction the snapshot does not
// see replace those read, and the view is live at the company's position. The same
// is done again, with the difference sent, when the stream alone can't tell the rows:
// a transaction too large to hold, changes dropped for a company that could not keep
// up, values that the WAL does not repeat, a catalogue that changed rows by itself.
//
// # Goroutines
//
// Hub.Run owns the routing and starts: one goroutine a company, ended with its
// last session; one that watches which commits have become visible, and one that
// watches the catalogue; one for each snapshot being read; all joined before Run returns. A Server starts, for each
// connection, its reader; writers, as many as there are cores and one more for each that
// waits for its client, while there is something to write (writers.go);
// Drain joins them. Nothing blocks on a company: inboxes are unbounded in messages
// and bounded in octets of rows, past which the company is read again.
//
// # Rights
//
// The rows that say who a user is are views of the company's (watch). When publish makes a
// change of one readable, it pauses the sessions that rest on it under the same lock, works their rights out
// anew, moves or ends their subscriptions (reassess), and lets them go on: no frame is told
// under the rights of before. See docs/decisions/0014.
//
// # Transports
//
// A session is told what to say to a transport: WebSocket, server-sent events, polls. Frames
// of a client come to session.handle, from one goroutine at a time.
//
// # Without a server
//
// A Rehearsal runs the same code over commits that it is given, for `walwire check`: it has
// no goroutine, follows nothing, and is one caller's.
//
// # Memory
//
// Rows, chains and the log are counted (memory); what gives way when they are too much, and in
// which order, stands there.
//
// # A slow reader
//
// A client that does not read costs its cursor, and the rows of one frame being
// written. It is not disconnected before ServerOptions.WriteTimeout, which bounds a
// write and the answer to a ping. When a chain has
// let go of an entry that a cursor still needs, the subscription starts anew (reset) with
// the view's rows.
//
// # Locks
//
// Views, rows and the index belong to the company's goroutine and have none.
// company.mu guards the chains, the published position and the subscriptions'
// cursors; session.mu what waits to be said. Nothing blocks while holding either.
package stream
