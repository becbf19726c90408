package predicate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping/predicate"
)

const (
	oracleRows   = 120
	oracleSeed   = 20260301
	casesDefault = 400_000
)

// TestOracle holds Eval, AppendSQL and Anchors against PostgreSQL: random rows
// of every type, random filters of every operator the type has, alone and in
// trees. A case is one filter on one row. WALWIRE_ORACLE_CASES asks for more
// of them, WALWIRE_ORACLE_SEED for others.
func TestOracle(t *testing.T) {
	o := newOracle(t, uint64(envInt(t, "WALWIRE_ORACLE_SEED", oracleSeed)))
	want := envInt(t, "WALWIRE_ORACLE_CASES", casesDefault)
	for o.cases < want/2 || o.rounds < 2 {
		o.everyPair()
	}
	for o.cases < want {
		filter := o.tree(3)
		o.check("tree", o.mustParse([]any{filter}), filter)
	}
	o.report()
}

func envInt(t *testing.T, name string, otherwise int) int {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// oracle is the table, its rows as the evaluator sees them, and the counts.
type oracle struct {
	t       *testing.T
	conn    *pgx.Conn
	random  *rand.Rand
	columns []predicate.Column
	consts  [][]any // constants of each column, as JSON decodes them
	elems   [][]any // and of its elements
	rows    []textRow
	row     *predicate.Row

	rounds, cases, trues, nulls int
	perPair, truePerPair        map[string]int
}

// textRow is a row in text format; nil is NULL.
type textRow [][]byte

func (r textRow) Column(i int) ([]byte, bool) { return r[i], r[i] == nil }

func newOracle(t *testing.T, seed uint64) *oracle {
	o := &oracle{t: t, conn: pgvaluetest.MustSession(t), random: rand.New(rand.NewPCG(seed, 1)),
		perPair: map[string]int{}, truePerPair: map[string]int{}}
	pgtest.MustExec(t, o.conn, "CREATE SCHEMA oracle")
	samples := pgvaluetest.Samples()
	definitions := []string{"id int PRIMARY KEY"}
	for i, s := range samples {
		col := predicate.Column{Name: fmt.Sprintf(`Column "%d"`, i), Type: pgvaluetest.MustType(t, o.conn, s.Name)}
		o.columns = append(o.columns, col)
		definitions = append(definitions, predicate.QuoteIdentifier(col.Name)+" "+s.Name)
		o.addConstants(col.Type, s)
	}
	pgtest.MustExec(t, o.conn, "CREATE TABLE oracle.rows ("+strings.Join(definitions, ", ")+")")
	for id := range oracleRows {
		values := []string{strconv.Itoa(id)}
		for _, s := range samples {
			if o.random.IntN(10) == 0 {
				values = append(values, "NULL")
				continue
			}
			values = append(values, pgvaluetest.Quote(s.Values[o.random.IntN(len(s.Values))])+"::"+s.Name)
		}
		pgtest.MustExec(t, o.conn, "INSERT INTO oracle.rows VALUES ("+strings.Join(values, ", ")+")")
	}
	for _, r := range pgvaluetest.MustRows(t, o.conn, "SELECT * FROM oracle.rows ORDER BY id") {
		o.rows = append(o.rows, textRow(r[1:]))
	}
	o.row = predicate.NewRow(o.columns)
	return o
}

// addConstants takes the samples' wire forms for constants. Nested arrays and
// JSON null are none.
func (o *oracle) addConstants(typ *pgvalue.Type, s pgvaluetest.Sample) {
	var consts, elems []any
	for _, text := range pgvaluetest.MustText(o.t, o.conn, s.Name, s.Values) {
		wire, err := typ.AppendJSON(nil, text)
		if err != nil {
			o.t.Fatal(err)
		}
		decoder := json.NewDecoder(strings.NewReader(string(wire)))
		decoder.UseNumber()
		var v any
		if err := decoder.Decode(&v); err != nil {
			o.t.Fatal(err)
		}
		if list, ok := v.([]any); ok && typ.Kind == pgvalue.KindArray {
			for _, e := range list {
				if _, nested := e.([]any); e != nil && !nested {
					elems = append(elems, e)
				}
			}
		}
		if _, err := typ.Parse(v); err == nil {
			consts = append(consts, v)
		}
	}
	o.consts, o.elems = append(o.consts, consts), append(o.elems, elems)
}

func (o *oracle) mustParse(filter any) *predicate.Node {
	o.t.Helper()
	raw, err := json.Marshal(filter)
	if err != nil {
		o.t.Fatal(err)
	}
	n, err := predicate.ParseWhere(raw, o.resolve, predicate.Limits{})
	if err != nil {
		o.t.Fatalf("%s: %v", raw, err)
	}
	return n
}

func (o *oracle) resolve(name string) (int, predicate.Column, error) {
	for i, c := range o.columns {
		if c.Name == name {
			return i, c, nil
		}
	}
	return 0, predicate.Column{}, errors.New("no such column")
}

// everyPair checks each operator of each type, and its negation.
func (o *oracle) everyPair() {
	o.rounds++
	for i, c := range o.columns {
		for _, op := range operators(c.Type) {
			leaf := o.leaf(i, op)
			n := o.mustParse([]any{leaf})
			pair := c.Type.Name + " " + op
			o.check(pair, n, leaf)
			o.check(pair, predicate.Negate(n), leaf)
		}
	}
}

// check compares one filter on all rows.
func (o *oracle) check(pair string, n *predicate.Node, filter any) {
	o.t.Helper()
	sql, args := n.AppendSQL([]byte("SELECT "), nil, o.columns)
	sql = append(sql, " FROM oracle.rows ORDER BY id"...)
	rows, _ := o.conn.Query(context.Background(), string(sql), args...)
	want, err := pgx.CollectRows(rows, pgx.RowTo[*bool])
	if err != nil {
		o.t.Fatalf("%v: %s with %q: %v", filter, sql, args, err)
	}
	anchors := n.Anchors(func(column int) float64 { return float64(column % 7) })
	for i, r := range o.rows {
		o.row.Reset(r)
		got, err := n.Eval(o.row)
		if err != nil {
			o.t.Fatalf("%v: row %d: %v", filter, i, err)
		}
		isTrue := want[i] != nil && *want[i]
		if got != isTrue {
			o.t.Errorf("%v: row %d: Eval says %v, PostgreSQL %v; %s with %q", filter, i, got, isTrue, sql, args)
		}
		if got && !o.admits(anchors) {
			o.t.Errorf("%v: row %d is true, but no anchor of %v admits it", filter, i, anchors)
		}
		o.count(pair, want[i])
	}
	if o.t.Failed() {
		o.t.FailNow()
	}
}

func (o *oracle) admits(anchors []predicate.Anchor) bool {
	for _, a := range anchors {
		if ok, err := a.Admits(o.row); ok || err != nil {
			return err == nil
		}
	}
	return false
}

func (o *oracle) count(pair string, value *bool) {
	o.cases++
	o.perPair[pair]++
	switch {
	case value == nil:
		o.nulls++
	case *value:
		o.trues++
		o.truePerPair[pair]++
	}
}

// report prints the shares and fails where a pair was not put to the test.
func (o *oracle) report() {
	least := o.cases
	for pair, n := range o.perPair {
		least = min(least, n)
		if n < 200 || o.truePerPair[pair] == 0 {
			o.t.Errorf("%s: %d cases, %d true: too few to mean anything", pair, n, o.truePerPair[pair])
		}
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(o.cases) }
	o.t.Logf("%d cases, %d pairs of type and operator with at least %d each: %.1f %% true, %.1f %% false, %.1f %% null",
		o.cases, len(o.perPair)-1, least, share(o.trues), share(o.cases-o.trues-o.nulls), share(o.nulls))
	if share(o.trues) < 10 {
		o.t.Errorf("only %.1f %% of the cases are true", share(o.trues))
	}
}
