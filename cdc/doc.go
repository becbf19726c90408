// Package cdc reads PostgreSQL's write-ahead log through one logical replication
// slot, and reads tables in snapshots that can be joined to it exactly. It knows
// PostgreSQL and nothing of companies.
//
// # Data flow
//
//	walsender ─ pgoutput ─> Consumer ─ Transaction ... Progress ─> Feed ─> whoever serves
//	tables ─ SELECT in a snapshot ─> Snapshotter.Read ─ rows, Snapshot ─> the same
//
// # Ordering
//
// Transactions come in the order of their commit records, each whole and once.
// Progress says that every commit below it has been handed over. A transaction
// larger than ConsumerOptions.MaxTransactionBytes comes without its rows (Oversize) and
// names the tables to be read again.
//
// Where commits may be missing, a Transaction without changes says so in its place
// (Gap): at the slot's first position, and where a lost slot was made anew or another
// program moved it. Consumer.Floor is the position from which on none is missing.
//
// A commit can be read from the WAL before other transactions can see it, so a
// position alone does not join a snapshot to the stream: Snapshot.Sees does, by
// transaction id.
//
// # Acknowledging
//
// PostgreSQL keeps the WAL from what is acknowledged on. Who takes the Feed says what that
// is (Acknowledge): no commit before it is known to be visible. After a lost
// connection the stream goes on behind the last transaction handed over.
//
// A server that shuts down waits until everything is acknowledged. What is acknowledged
// can wait in turn for what only a running server can tell, so the Consumer lets go of
// a server that keeps asking, and connects again.
//
// # What ends the Consumer
//
// Lost connections, refused logins and a standby are tried again, with backoff. Where
// another server reads the slot, this one stands by and takes over when it is free; where
// it had read the slot itself, it ends (ErrSlotTaken) once the other has it for more than
// a moment. A slot that another program moved or dropped, or that was invalidated
// (ErrSlotLost), a missing publication or right, and bytes that can't be followed need the
// operator (IsFatal). With ConsumerOptions.RecreateLostSlot a lost slot is made anew
// instead, or followed from where it is. Another history of the database
// (ErrHistoryChanged) always ends the Consumer: positions and transaction ids of before
// mean nothing in it. A start is never asked for without its publication: PostgreSQL would notice
// only at the first change.
//
// # Goroutines
//
// Consumer.Run is one goroutine; it owns the replication connection, reads it and
// sends the status messages, also while the Feed is full. It ends with its context,
// or with an error that reconnecting won't mend (IsFatal). Snapshotter starts none but
// those of its connection pool.
//
// # A slow reader
//
// The Feed holds a bounded number of octets. Past it the Consumer stops reading
// the socket, PostgreSQL keeps the WAL, and the status messages go on.
package cdc
