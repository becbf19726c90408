// Package pgtest gives tests a real PostgreSQL.
//
// Database hands out a fresh database of a cluster that all tests of a test
// binary share; it is dropped, with its replication slots, when the test ends.
// The cluster is started by the first test that asks. A package's TestMain
// stops it:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
// Without that line it is stopped a moment after the test binary has ended,
// by the guardian that package pgserver describes.
//
// New gives a cluster of the test's own, for settings that differ and for
// tests that stop or break the server.
//
// WALWIRE_TEST_DATABASE_URL makes the shared cluster a server of one's own: the
// URL of a superuser on a server with wal_level=logical. New always starts a
// private one.
//
// The shared cluster is the one piece of package-level state in the module:
// the testing package offers no other place for what outlives a test.
package pgtest
