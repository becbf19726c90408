// Package demo fills the reference schema with two companies and keeps them
// busy, so that `walwire dev` has something to show.
//
// Seed writes the companies once: ids are the same in every database, times
// lie around the day of seeding. Simulate then writes what an ordinary day
// brings - bookings, check-ins, breaks, notifications - in plain SQL over one
// connection, as any backend would: it knows nothing of walwire. It runs in
// its caller's goroutine and starts none. It removes the oldest rows beyond a
// bound, so that a demo left running does not grow.
//
// Principals are the people whose tokens `walwire dev` prints; they are in the
// data, with appointments of their own.
package demo
