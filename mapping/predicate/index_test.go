package predicate_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping/predicate"
)

// TestSQLUsesIndexes: the SQL of the operators that an index can serve is
// served by one.
func TestSQLUsesIndexes(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	pgtest.MustExec(t, conn, `CREATE TABLE public.a (status text, branch_id uuid, starts_at timestamptz, price numeric, tags text[], seats int, prefs jsonb);
		CREATE INDEX eq ON public.a (status);
		CREATE INDEX c ON public.a (status COLLATE "C");
		CREATE INDEX ids ON public.a (branch_id);
		CREATE INDEX at ON public.a (starts_at);
		CREATE INDEX tags ON public.a USING gin (tags);
		SET enable_seqscan = off`)
	for filter, index := range map[string]string{
		`[["status","==","x"]]`:          "eq",
		`[["status","in",["x","y"]]]`:    "eq",
		`[["status",">","x"]]`:           "c",
		`[["status","starts-with","x"]]`: "c",
		`[["branch_id","in",["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a12"]]]`: "ids",
		`[["starts_at",">=","2026-03-01T00:00:00Z"]]`:                                                          "at",
		`[["tags","array-contains","x"]]`:                                                                      "tags",
		`[["tags","array-contains-any",["x","y"]]]`:                                                            "tags",
	} {
		n, err := predicate.ParseWhere(json.RawMessage(filter), resolve, predicate.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		sql, args := n.AppendSQL([]byte("EXPLAIN SELECT * FROM public.a WHERE "), nil, columns())
		rows, _ := conn.Query(context.Background(), string(sql), args...)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, "on "+index+" ") && !strings.Contains(text, "using "+index+" ") || !strings.Contains(text, "Index Cond") {
			t.Errorf("%s: %s does not use the index %s:\n%s", filter, sql, index, text)
		}
	}
}
