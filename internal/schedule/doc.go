// Package schedule runs SQL statements at intervals, on one of the servers that are
// given them: the one that holds an advisory lock of PostgreSQL.
//
// A Runner has one connection, on which it takes the lock and runs the statements, one
// after the other. So it can't run anything without the lock: with the connection both
// are gone, PostgreSQL rolls back what was not committed, and whoever asks next has the
// lock. A Runner that does not have it asks every second.
//
// At the lock, every statement is run once, and then again an interval after the start
// of the run before. What takes longer than its interval, or waits for another, is run
// late and not made up for. Each run is a transaction of its own. An error is logged
// and counted, and the statement has its next turn.
//
// A run whose commit is not confirmed is made again by the next holder: statements are
// to be written so that this does nothing, as with ON CONFLICT DO NOTHING.
//
// Run is the package's only goroutine, its caller's.
package schedule
