// Package bench is `walwire bench`: it measures walwire beside what it is to be
// compared with, in the same run on the same machine, and prints one line for
// each row of a table. docs/performance.md says how to read and repeat it.
//
// # Row 1, ingest
//
// How many row changes a second go through walwire to its subscribers, beside
// pg_recvlogical, which does nothing with them but write them to /dev/null.
//
// The setting: a private PostgreSQL with the reference schema; appointments of
// companies with 100 members of staff each; a server process with the reference
// configuration as it is, run as a role with no more than its rights; and for
// every member of staff a subscriber, with a WebSocket and a live query of their
// own, `staff_id == x`, which shows whole rows. So every change matches exactly
// one live query.
//
// The WAL: while nobody reads, writers update each appointment once, in
// transactions of 100 rows of one company: one row of each of its live queries.
// That is the hard shape. A transaction's changes go to 100 subscribers, so that
// what they share of a frame is up to walwire alone; and as no row changes twice,
// nothing is merged away, and each change must arrive.
//
// Nobody reads, because the bench has taken the server's slot: it ended the
// server's walsender and holds the slot with a connection of its own that reads
// and acknowledges nothing. Beside it, at the same position, it made two slots
// for pg_recvlogical.
//
// The same work: pg_recvlogical, walwire and pg_recvlogical once more read that
// WAL, each alone, each through a slot that begins before the first change, by
// pgoutput with the same version and publication. pg_stat_replication_slots must
// then say that PostgreSQL has decoded all transactions for each. Of
// pg_recvlogical's two times the better counts.
//
// The clocks: both are timed from the beginning of their walsender's connection,
// as pg_stat_activity gives it; for walwire that includes what it asks PostgreSQL
// before it starts to read. pg_recvlogical's time ends when the program does, at
// the WAL position after the last change; walwire's when the last subscriber has
// received its last change. Server, subscribers and walsender share the
// machine's cores; the subscribers' CPU time is in no figure but the elapsed time.
//
// Exact: each subscriber keeps which of its rows have come. A row that comes
// twice is doubled, one that has not come at the end is lost, and one that is
// another's, has not the new value, or comes as anything but modified is a fault.
// Before the last count every subscriber waits for the end of the WAL, so that
// what comes too often has come. Anything not exact fails the run.
//
// bytes/change is what subscribers received, as WebSocket payload; walwire_cpu the
// server process's user and system time, from the slot's release to the last change.
//
// # Processes
//
// This one, with the subscribers; PostgreSQL (internal/pgserver ends it whatever
// happens to this process); pg_recvlogical; and the server, which is this program
// again, in Serve: it obeys orders on its stdin, such as to say what CPU it has
// used, and ends when its stdin does.
//
// # Goroutines
//
// One for each writer and each subscriber, in errgroups that Run joins, also when
// ctx ends.
package bench
