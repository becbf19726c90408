// Package apptest gives tests a running server on a database of its own, and
// clients that hold live queries as a frontend would: they apply every frame and
// fail the test where a frame breaks the protocol.
package apptest
