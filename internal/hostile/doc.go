// Package hostile attacks a walwire server as those would who mean it harm: with
// tokens that are none, queries for what is another's, values that look like code,
// frames and requests that end nowhere, and connections without end. Each case tries
// one thing, asserts the code that it is refused with, and does the same thing
// harmlessly beside it, which must be served: a server that refuses everything fails.
//
// Two servers run as `walwire serve` does, on a real PostgreSQL and real sockets:
// one with limits that no case reaches, one with small ones. Beside all cases a writer
// commits steadily on each, and honest clients hold a live query of it by each way
// there is. They must be shown every commit once, whole and in order. How long a commit
// takes to them is printed for the time of the cases and for undisturbed times of the
// same run; it is no subject of the tests, but for being far off.
//
// There is nothing but tests in it.
package hostile
