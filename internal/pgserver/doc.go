// Package pgserver runs a private PostgreSQL for `walwire dev` and for tests.
//
// # Where the server comes from
//
// Start tries three sources in turn and says in its error what each answered:
//
//  1. Server binaries on this machine, version 14 or newer: $WALWIRE_PG_BIN
//     (which, when set, is the only place looked at), then PATH, the
//     distributions' directories, Homebrew and Postgres.app.
//  2. A Docker engine, through testcontainers-go's postgres module. Not for a
//     kept data directory. (Unverified: written without an engine at hand.)
//  3. A download of the binaries by the embedded-postgres library into the
//     user's cache directory; they are then used as in 1. (Unverified.)
//
// # The cluster
//
// It listens on 127.0.0.1 only, has no Unix socket, and asks every connection
// for a password (SCRAM) that was drawn at random when the cluster was made:
// loopback is shared with every other user of the machine. wal_level is
// logical. A directory holds it:
//
//	DIR/data         the cluster
//	DIR/password     the superuser's password, mode 0600
//	DIR/server.log   PostgreSQL's log since the last start
//
// Without Options.DataDir it lies in a temporary directory that is removed
// when the server stops, and durability (fsync) is off; with it the directory
// is kept and used again by the next Start.
//
// PostgreSQL refuses to run as root. For root, the directory belongs to the
// account `postgres` (or `nobody` where there is none), and PostgreSQL runs as
// that account.
//
// # Who stops it
//
// Stop does. When this process dies without calling it, even by SIGKILL, the
// guardian does: a small /bin/sh process between this process and PostgreSQL,
// which waits on a pipe whose other end only this process holds. At the end of
// that pipe it stops PostgreSQL (fast, then immediate after ten seconds) and
// removes a temporary directory. (A kill in the instants between two steps of
// Start can leave a temporary directory behind, never a process.) Guardian and PostgreSQL have a session of
// their own, so that Ctrl-C at the terminal reaches this process alone and the
// shutdown keeps its order. A parent-death signal would not do: Linux only,
// and tied to the thread that forked.
//
// # Goroutines
//
// One for each started process, which waits for its guardian and ends with it;
// Stop and a failing Start join it.
package pgserver
