// Package pgoutput decodes version 1 of the protocol that PostgreSQL's pgoutput
// plugin speaks: the messages of "Logical Replication Message Formats" in the
// PostgreSQL manual, as PostgreSQL 14 to 18 send them. It turns bytes into
// values and does nothing else: it opens no connection, starts no goroutine and
// keeps no state between messages.
//
// # Order of the stream
//
// A transaction arrives whole, at its commit, in commit order:
//
//	Begin Origin? (Relation | Type | Insert | Update | Delete | Truncate | Message)* Commit
//
// A Relation comes before the first row of its table and again before the first
// row after its description may have changed; a Type comes just before the
// Relation that needs it. A transaction that published nothing is not sent, but
// for PostgreSQL 14, which sends its Begin and Commit. A non-transactional Message stands on its own, also
// between two transactions. The Decoder takes messages one by one and does not
// check this order: its caller, who assembles transactions, does.
//
// # Ownership
//
// The caller owns the bytes given to Decoder.Decode. The decoder fills fields
// of its own, the same ones for every message of a kind: they are valid until the
// next Decode, and the tuples in them also only as long as the source is left
// alone, since their values alias it. So a row costs no allocation. Strings are
// copies, as is Relation.Columns: what is rare and long-lived may be kept as
// it is.
//
// A row that must outlive that is copied into an Arena: one chunk holds the
// rows of many transactions, so that a kept row costs a memory copy and, over
// many rows, next to no allocation. A chunk lives as long as any tuple in it.
//
// # Bad input
//
// Every input is either a whole message or a *FormatError that names the
// message, the field and the offset. Nothing is passed over: bytes behind a
// message's end, a flag that protocol 1 does not define, or a tuple that is
// neither key nor row are errors too, because a stream that means
// something else than was understood can't be served. Memory use follows from
// the size of the input, not from the counts it claims. An error of a row
// message carries the relation's OID where it could be read, so that one
// table's trouble can stay with that table.
package pgoutput
