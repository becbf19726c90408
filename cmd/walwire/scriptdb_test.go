package main

import (
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/walwire/walwire/internal/pgtest"
)

// databaseCommands are the scripts' commands about PostgreSQL:
//
//	database VAR                      a database of the script's own; VAR gets its URL
//	cluster VAR SETTING=VALUE ...     a cluster of the script's own
//	as VAR URL USER PASSWORD          the URL for another role
//	sql URL STATEMENT                 run it; ! where it must fail
//	mend URL FILE                     run a file of statements, one a line
//	script URL FILE                   run a file of statements as one
//	query VAR URL STATEMENT           VAR gets the one value, as text
//	until URL STATEMENT               until the one value is true
func databaseCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"database": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 1, "database VAR")
			ts.Setenv(args[0], pgtest.Database(scriptTB(ts)))
		},
		"cluster": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) > 0, "cluster VAR SETTING=VALUE ...")
			settings := make(map[string]string)
			for _, arg := range args[1:] {
				name, value, _ := strings.Cut(arg, "=")
				settings[name] = value
			}
			ts.Setenv(args[0], pgtest.New(scriptTB(ts), settings).URL())
		},
		"as": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 4, "as VAR URL USER PASSWORD")
			ts.Setenv(args[0], pgtest.WithUser(scriptTB(ts), args[1], args[2], args[3]))
		},
		"sql": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, len(args) == 2, "sql URL STATEMENT")
			tb := scriptTB(ts)
			_, err := pgtest.MustConnect(tb, args[0]).Exec(tb.Context(), args[1])
			if (err != nil) != neg {
				ts.Fatalf("sql: %v", err)
			}
		},
		"mend": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 2, "mend URL FILE")
			conn := pgtest.MustConnect(scriptTB(ts), args[0])
			for statement := range strings.Lines(ts.ReadFile(args[1])) {
				pgtest.MustExec(scriptTB(ts), conn, statement)
			}
		},
		"script": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 2, "script URL FILE")
			pgtest.MustExec(scriptTB(ts), pgtest.MustConnect(scriptTB(ts), args[0]), ts.ReadFile(args[1]))
		},
		"query": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 3, "query VAR URL STATEMENT")
			ts.Setenv(args[0], mustQuery(scriptTB(ts), args[1], args[2]))
		},
		"until": func(ts *testscript.TestScript, neg bool, args []string) {
			usage(ts, !neg && len(args) == 2, "until URL STATEMENT")
			tb := scriptTB(ts)
			conn := pgtest.MustConnect(tb, args[0])
			if !awaited(func() (reached bool) {
				ts.Check(conn.QueryRow(tb.Context(), args[1]).Scan(&reached))
				return reached
			}) {
				ts.Fatalf("until: not within %s: %s", awaitLimit, args[1])
			}
		},
	}
}

func mustQuery(tb testing.TB, url, statement string) string {
	tb.Helper()
	results, err := pgtest.MustConnect(tb, url).PgConn().Exec(tb.Context(), statement).ReadAll()
	if err != nil {
		tb.Fatalf("query: %v", err)
	}
	last := results[len(results)-1]
	if len(last.Rows) != 1 || len(last.Rows[0]) != 1 {
		tb.Fatalf("query: %s: one value is needed, it gives %d rows", statement, len(last.Rows))
	}
	return string(last.Rows[0][0])
}

func usage(ts *testscript.TestScript, ok bool, text string) {
	if !ok {
		ts.Fatalf("usage: %s", text)
	}
}
