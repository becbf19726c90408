// Package app is the whole server, wired: what `walwire serve` and `walwire dev`
// run, and what the end-to-end tests run.
//
// Run starts the HTTP side first, so that health can be asked for at once, then
// waits for the database, reads the schema, inspects the database, and follows
// the WAL. Its goroutines are the HTTP servers (the public one behind package edge's
// policy, and the operators'), the consumer (one, which owns the replication connection),
// the hub (one, which starts one a company) and, where the configuration has them, the
// fetching of keys and the schedules, which do not wait for the WAL to be followed. The
// first that ends stops the rest; Run returns when all have ended. The operators' server
// ends last.
//
// An Explainer is no part of a running App: it tells what a configuration would do.
//
// Embed makes an App without listeners, for a program that serves Handler itself.
//
// The zero value of nothing here is useful: New makes an App from a loaded
// configuration.
package app
