// Package faults holds walwire against what goes wrong around it, one fault a
// test: processes that die, connections that are cut or go silent, slots that are
// lost, WAL that grows, standbys that are away, backups that are put back. A real
// PostgreSQL, the server that `walwire serve` runs, and clients over sockets, which
// come back by themselves and resume. In the end every query shows what its SELECT
// gives. There is nothing but tests in it.
package faults
