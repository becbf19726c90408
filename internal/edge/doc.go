// Package edge is what stands between the network and the stream server: who a
// client is by its address, how many connections it may have, which web pages may
// connect, under which path everything lives, and the server's certificate.
//
// A request passes Handler (base path, origins, CORS) and then the server, which asks
// Connections at three moments: Attempt before anything is looked at, Address before
// the connection is kept, User and Company once its token is known. Each of the last
// three gives a function that gives the place back, and every refusal is a *Refusal.
//
// Bodies stands before all of that, and bounds how long a request's body takes to come.
//
// Nothing here runs by itself: there is no goroutine. What is kept of addresses is
// bounded (see Connections), and what is kept of open connections is theirs alone.
package edge
