package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
)

// The exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// signalPatience is how long after the first signal another one is not taken for
// impatience: some programs send it to a process and to its group. From then on
// a signal ends the process at once.
const signalPatience = time.Second

// cli is the command line.
type cli struct {
	LogLevel slog.Level `help:"Least severe log line to show: debug, info, warn or error." default:"info" env:"WALWIRE_LOG_LEVEL"`

	Dev     devCmd     `cmd:"" help:"Try it: a private PostgreSQL with demo data, and a server that follows it."`
	Serve   serveCmd   `cmd:"" help:"Serve live queries of your database."`
	Check   checkCmd   `cmd:"" help:"Hold a configuration against the database, with the SQL that mends each finding."`
	Types   typesCmd   `cmd:"" help:"Print TypeScript interfaces of the mapped tables, for each role."`
	Schema  schemaCmd  `cmd:"" help:"Print a JSON Schema of the configuration, for editors."`
	Migrate migrateCmd `cmd:"" help:"Create the reference schema, and the server's role."`
	Token   tokenCmd   `cmd:"" help:"Sign a token, for development."`
	Tail    tailCmd    `cmd:"" help:"Subscribe to a live query and print its frames."`
	Slot    slotCmd    `cmd:"" help:"Look after the replication slot: status, drop, skip."`
	Health  healthCmd  `cmd:"" help:"Ask a server whether it is ready."`
	Bench   benchCmd   `cmd:"" help:"Measure walwire on this machine, beside what it is to be compared with."`
	Version versionCmd `cmd:"" help:"Print the version."`

	BenchServer benchServerCmd `cmd:"" hidden:"" help:"The server process of bench."`
	BenchRaw    benchRawCmd    `cmd:"" hidden:"" help:"The raw TCP server of bench."`
}

const description = `walwire reads PostgreSQL's write-ahead log and keeps authorised frontends' live queries up to date over WebSocket.

Start with "walwire dev". "walwire COMMAND --help" explains each command.`

// console is where a command speaks.
type console struct {
	out io.Writer // answers
	err io.Writer // errors; log writes there too
	log *slog.Logger
}

// run is the program: it parses args, runs the command and gives the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	parser, err := kong.New(&c,
		kong.Name("walwire"), kong.Description(description), kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoExpandSubcommands: true, WrapUpperBound: 100}))
	if err != nil {
		return fail(stderr, exitFailure, fmt.Errorf("build the command line: %w", err))
	}
	command, err := parser.Parse(args)
	if err != nil {
		return fail(stderr, exitUsage, fmt.Errorf("%w\nRun \"walwire%s --help\" to see what can be given", err, named(err)))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { time.AfterFunc(signalPatience, stop) })
	command.BindTo(ctx, (*context.Context)(nil))
	if err := command.Run(&console{out: stdout, err: stderr, log: newLogger(stderr, c.LogLevel)}); err != nil {
		return fail(stderr, exitFailure, err)
	}
	return exitOK
}

// named is the command of a line that could not be parsed, with a space before
// it; "" when it names none.
func named(err error) string {
	var wrong *kong.ParseError
	if errors.As(err, &wrong) && wrong.Context != nil {
		if command := wrong.Context.Selected(); command != nil {
			return strings.TrimPrefix(command.FullPath(), "walwire")
		}
	}
	return ""
}

// fail prints err, each of its lines by the program's name.
func fail(stderr io.Writer, code int, err error) int {
	for _, line := range distinctLines(err.Error()) {
		_, _ = fmt.Fprintf(stderr, "walwire: %s\n", line)
	}
	return code
}

// distinctLines are the lines of a message, each once: a driver repeats itself
// for each of its attempts.
func distinctLines(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}
