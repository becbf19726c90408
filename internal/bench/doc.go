// Package bench is `walwire bench`: it measures walwire beside what it is to be
// compared with, in the same run on the same machine, and prints one line for
// each row of a table. docs/performance.md says what each row is, and how to read and
// repeat it.
//
// # Processes
//
// This one, with the clients; PostgreSQL (internal/pgserver ends it whatever
// happens to this process); a peer, such as pg_recvlogical, pgbench, a raw TCP server or
// Socket.IO; and the server, which is this program again, in Serve: it obeys orders on its
// stdin, such as to say what CPU it has used, and ends when its stdin does. So does the raw
// TCP server, in ServeRaw.
//
// # Clients
//
// A swarm is all clients of a row: sockets that one goroutine reads by epoll, into one
// buffer. Clients that were a goroutine each would cost as much as the server, on the
// cores that they share with it. A swarm speaks by a protocol: walwire's is audience,
// Socket.IO's is socketIO, and listening says nothing at all.
//
// # Rows 1 and 9, ingest and a huge transaction
//
// The WAL is written while nobody reads, because the bench has taken the server's slot: it
// ended the server's walsender and holds the slot with a connection of its own that reads
// and acknowledges nothing. Beside it, at the same position, it made two slots for
// pg_recvlogical. Then pg_recvlogical, walwire and pg_recvlogical once more read that
// WAL, each alone, each through a slot that begins before the first change, by
// pgoutput with the same version and publication. pg_stat_replication_slots must
// then say that PostgreSQL has decoded all transactions for each. Of
// pg_recvlogical's two times the better counts.
//
// Both are timed from START_REPLICATION, as pg_stat_activity gives it: a walwire that
// stands by is connected long before. pg_recvlogical's time ends when the program does, at
// the WAL position after the last change; walwire's when the last client has received its
// last change.
//
// In row 1 a transaction changes 100 rows of one company: one row of each of its live
// queries. That is the hard shape. A transaction's changes go to 100 clients, so that
// what they share of a frame is up to walwire alone; and as no row changes twice,
// nothing is merged away, and each change must arrive.
//
// # Exact
//
// Each client keeps which of its rows or changes have come. One that comes twice is
// doubled, one that has not come at the end is lost, and one that is another's, has not the
// new value, or comes as what it is not is a fault. Where it can matter every client waits
// for the end of the WAL before the last count, so that what comes too often has come.
// Anything not exact fails the run.
//
// # Goroutines
//
// One for each writer, in errgroups that their starters join, and one for a swarm, which
// close joins; also when ctx ends.
package bench
