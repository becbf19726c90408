// Command walwire keeps authorised frontends' live queries up to date from
// PostgreSQL's write-ahead log.
//
// One file a command: a struct with its flags, a Help with an example, and Run.
// Settings come from flags, then from the environment, then from the
// configuration file. What a command answers goes to standard output; logs and
// errors go to standard error. The exit code is 0 when all went well, 1 for a
// failure, 2 for a command line that makes no sense.
//
// SIGINT and SIGTERM end the context that each command runs in; another one a
// second later or more ends the process at once.
package main
