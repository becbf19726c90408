package predicate_test

import (
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
	oracleRows   = 60
	roundsLeast  = 8
	oracleSeed   = 20260301
	casesDefault = 400_000
)

// TestOracle holds Eval, AppendSQL and Anchors against PostgreSQL: random rows
// of every type, random filters of every operator the type has, alone, negated
// and in trees. What a filter means is asked of PostgreSQL in the test's own
// words. A case is one filter on one row. WALWIRE_ORACLE_CASES asks for more of
// them, WALWIRE_ORACLE_SEED for others.
func TestOracle(t *testing.T) {
	o := newOracle(t, uint64(envInt(t, "WALWIRE_ORACLE_SEED", oracleSeed)), oracleRows)
	want := envInt(t, "WALWIRE_ORACLE_CASES", casesDefault)
	for o.cases < want/4*3 || o.rounds < roundsLeast {
		o.everyPair()
	}
	for range max(want-o.cases, want/4) / oracleRows {
		o.check(pair{}, o.tree(3))
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

	rounds, trees               int
	cases, trues, falses, nulls int
	perPair, truePerPair        map[pair]int
}

// textRow is a row in text format; nil is NULL.
type textRow [][]byte

func (r textRow) Column(i int) ([]byte, bool) { return r[i], r[i] == nil }

func newOracle(t *testing.T, seed uint64, rows int) *oracle {
	o := &oracle{t: t, conn: pgvaluetest.MustSession(t), random: rand.New(rand.NewPCG(seed, 1)),
		perPair: map[pair]int{}, truePerPair: map[pair]int{}}
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
	for id := range rows {
		values := []string{strconv.Itoa(id)}
		for _, s := range samples {
			if o.random.IntN(10) == 0 {
				values = append(values, "NULL")
				continue
			}
			values = append(values, pgvaluetest.Quote(s.Values[o.skewed(len(s.Values))])+"::"+s.Name)
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

// skewed gives a number below n, often one of the first, so that a value and a
// constant are equal often enough.
func (o *oracle) skewed(n int) int {
	if o.random.IntN(2) == 0 {
		n = min(n, 2)
	}
	return o.random.IntN(n)
}

// everyPair checks each operator of each type, and its negation.
func (o *oracle) everyPair() {
	o.rounds++
	for i, s := range pgvaluetest.Samples() {
		for _, op := range operators(o.columns[i].Type) {
			leaf := o.leaf(i, op)
			o.check(pair{s.Name, op}, leaf)
			o.check(pair{s.Name, "not " + op}, map[string]any{"not": leaf})
		}
	}
}

// check compares one filter on all rows.
func (o *oracle) check(p pair, filter any) {
	o.t.Helper()
	n := o.mustParse([]any{filter})
	sql, args := n.AppendSQL(nil, nil, o.columns)
	query := fmt.Sprintf("SELECT %s, (%s) IS TRUE FROM oracle.rows ORDER BY id", o.sql(filter), sql)
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a.(string))
	}
	anchors := n.Anchors(func(column int) float64 { return float64(column % 7) })
	answers := pgvaluetest.MustRows(o.t, o.conn, query, params...)
	for i, want := range answers {
		o.row.Reset(o.rows[i])
		got, err := n.Eval(o.row)
		if err != nil {
			o.t.Fatalf("%v: row %d: %v", filter, i, err)
		}
		if isTrue := string(want[0]) == "t"; got != isTrue || (string(want[1]) == "t") != isTrue {
			o.t.Errorf("%v: row %d: Eval says %v, AppendSQL %s, PostgreSQL %q; %s with %q", filter, i, got, want[1], want[0], sql, args)
		}
		if got && !o.admits(anchors) {
			o.t.Errorf("%v: row %d is true, but no anchor of %v admits it", filter, i, anchors)
		}
	}
	o.count(p, answers)
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
