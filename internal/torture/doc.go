// Package torture is a test that tries to make walwire show something wrong.
//
// # What runs
//
//	writers ─ SQL ─> PostgreSQL ─ proxy ─> walwire (a process) ─ proxies ─> clients ─ what they showed ─┐
//	                     │ a slot of the test's own                                                     v
//	                     └─ pgoutput, read by pglogrepl ─> versions ─ COPY ─> a second PostgreSQL ─> checker
//
// Writers change rows in every way that the schema allows. Clients hold random live
// queries, drop their connections and come back to where they were. A nemesis
// injects faults one after another. Networks are toxiproxy's.
//
// # What is checked
//
// Of every frame of every client: that the rows of all its live queries are those of
// the query, the access rule and the company at the frame's position; a frame without
// changes for a query says that there were none. A resumed query is held to that from its
// first frame on: a difference there is a silent gap. A row that the rule forbids at that
// position is a leak, as is a column. Besides that, the protocol: positions do not go
// back, a row is added only where it was not shown. At the end all clients show the last
// commit, and the keys that a SELECT gives.
//
// # Who computes what is right
//
// PostgreSQL, from the history of all rows: the log is read by the test's own slot,
// whose place is acknowledged only when it has been applied to memory, which outlives all
// faults. Every version of a row is stored, with a number, in a second cluster that
// nothing is done to. A query with its rule is SQL made together with its JSON by the generator
// in this package; PostgreSQL says which versions it holds for, and in which order
// they stand. What is left is arithmetic: which of them were there at a position (sweep), the first
// so many, and sums of hashes; windows are now and then computed by PostgreSQL as well.
// Values are compared by the hash of a canonical form that is made of PostgreSQL's text
// here and of a frame's JSON there. Nothing of this calls code of walwire's.
//
// What changes rows without row events (ATTACH, DETACH, a rewriting ALTER TYPE) is told to
// the history by a message within the same transaction; walwire, which polls the catalogue for
// it, is forgiven for some seconds.
//
// # When it fails
//
// The first fault ends the run. The report has the query, its SQL, the position, the
// first row that differs with its history and the frames around it. Shrink then tries
// with less. Seeds make the same queries and the same kind of load, not the same timing.
//
// # Goroutines
//
// Run starts the clients, the history's reader and store, the server's keeper, the writers and
// the nemesis, and joins them before it returns. Each client is a reader and its chores.
// clients' states are under their segment's mutex, versions under their own.
package torture
