package predicate_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/mapping/predicate"
)

const (
	orderedRows    = 120
	orderRounds    = 2 // of each type first, in each direction, with NULLs at each end
	boundsPerOrder = 2 // positions, each with all four bounds
)

// TestOracleOrder holds orders and their bounds against PostgreSQL: random
// rows, random orders of one to three columns and a key. What it should be is
// asked of PostgreSQL in the test's own words, with the bound's position as
// one more row of the table; AppendSQL is held against that too.
// WALWIRE_ORACLE_SEED asks for others.
func TestOracleOrder(t *testing.T) {
	o := newOrderOracle(t, uint64(envInt(t, "WALWIRE_ORACLE_SEED", oracleSeed)))
	for range orderRounds {
		for i, c := range o.columns {
			if c.Type.SupportsOrder() {
				for _, direction := range []string{"asc", "desc"} {
					for _, nulls := range []string{"nulls-first", "nulls-last"} {
						o.checkOrder(o.randomOrder(i, direction, nulls))
					}
				}
			}
		}
	}
	o.report()
}

// orderOracle is the oracle's table with its id, the key, as last column.
type orderOracle struct {
	*oracle
	values [][]orderValue // constants of each column
	keys   []int          // columns that can be a part of the key, NULLs apart

	orders, bounds, ties        int
	comparisons                 int
	cases, trues, falses, nulls int
}

// orderValue is a constant as SQL and as JSON.
type orderValue struct {
	sql  string
	wire json.RawMessage
}

// testOrder is an order as the test means it.
type testOrder struct {
	terms []testTerm // those asked for, then the rest of the key
	asked int
	key   []int
}

type testTerm struct {
	column           int
	direction, nulls string // "" where nothing is asked
}

func newOrderOracle(t *testing.T, seed uint64) *orderOracle {
	o := &orderOracle{oracle: newOracle(t, seed, orderedRows)}
	samples := pgvaluetest.Samples()
	for i, c := range o.columns {
		var values []orderValue
		for j, text := range pgvaluetest.MustText(t, o.conn, samples[i].Name, samples[i].Values) {
			wire, err := c.Type.AppendJSON(nil, text)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal(wire, &v); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Type.Parse(v); err == nil {
				values = append(values, orderValue{pgvaluetest.Quote(samples[i].Values[j]) + "::" + samples[i].Name, wire})
			}
		}
		o.values = append(o.values, values)
		if c.Type.SupportsOrder() || c.Type.Kind == pgvalue.KindEnum {
			o.keys = append(o.keys, i)
		}
	}
	o.columns = append(o.columns, predicate.Column{Name: "id", Type: pgvaluetest.MustType(t, o.conn, "int4")})
	var ids []orderValue
	for i := range o.rows {
		id := strconv.Itoa(i)
		o.rows[i] = append(o.rows[i], []byte(id))
		ids = append(ids, orderValue{id, json.RawMessage(id)})
	}
	o.values = append(o.values, ids)
	o.row = predicate.NewRow(o.columns)
	return o
}

// randomOrder makes an order that begins with a column; every other one of a
// table whose key is a column of any type that can be ordered, and the id.
func (o *orderOracle) randomOrder(first int, direction, nulls string) testOrder {
	id := len(o.columns) - 1
	order := testOrder{terms: []testTerm{{first, direction, nulls}}, key: []int{id}}
	for range o.random.IntN(3) {
		column := o.random.IntN(len(o.columns))
		if !o.columns[column].Type.SupportsOrder() || order.has(column) {
			continue
		}
		term := testTerm{column, []string{"", "asc", "desc"}[o.random.IntN(3)], ""}
		if term.direction != "" {
			term.nulls = []string{"", "nulls-first", "nulls-last"}[o.random.IntN(3)]
		}
		order.terms = append(order.terms, term)
	}
	order.asked = len(order.terms)
	if o.orders%2 == 1 {
		order.key = []int{o.keys[o.orders/2%len(o.keys)], id}
	}
	for _, k := range order.key {
		if !order.has(k) {
			order.terms = append(order.terms, testTerm{column: k, direction: order.terms[order.asked-1].direction})
		}
	}
	return order
}

func (t testOrder) has(column int) bool {
	return slices.ContainsFunc(t.terms, func(t testTerm) bool { return t.column == column })
}

// table is the oracle's table, without the rows that a key forbids.
func (o *orderOracle) table(order testOrder) string {
	return fmt.Sprintf("(SELECT * FROM oracle.rows WHERE %s IS NOT NULL) r", predicate.QuoteIdentifier(o.columns[order.key[0]].Name))
}

// json gives the order as a client asks for it.
func (o *orderOracle) json(order testOrder) json.RawMessage {
	list := []any{}
	for _, t := range order.terms[:order.asked] {
		name := o.columns[t.column].Name
		switch {
		case t.nulls != "":
			list = append(list, []string{name, t.direction, t.nulls})
		case t.direction != "":
			list = append(list, []string{name, t.direction})
		default:
			list = append(list, name)
		}
	}
	raw, err := json.Marshal(list)
	if err != nil {
		o.t.Fatal(err)
	}
	return raw
}

// orderBy gives the order's first terms in SQL, in the test's own words.
func (o *orderOracle) orderBy(terms []testTerm) string {
	var list []string
	for _, t := range terms {
		s := predicate.QuoteIdentifier(o.columns[t.column].Name)
		switch o.columns[t.column].Type.Kind {
		case pgvalue.KindEnum:
			s += `::text COLLATE "C"`
		case pgvalue.KindText, pgvalue.KindBPChar:
			s += ` COLLATE "C"`
		}
		nulls := t.nulls
		if nulls == "" && t.direction == "desc" {
			nulls = "nulls-last"
		} else if nulls == "" {
			nulls = "nulls-first"
		}
		list = append(list, s+" "+t.direction+" "+strings.ReplaceAll(nulls, "-", " "))
	}
	return strings.Join(list, ", ")
}

// checkOrder compares the sequence of the rows, then each pair of them in the
// terms that a client asked for, then bounds.
func (o *orderOracle) checkOrder(want testOrder) {
	raw := o.json(want)
	order, err := predicate.ParseOrder(raw, o.resolve, want.key, o.columns, predicate.DefaultLimits())
	if err != nil {
		o.t.Fatalf("%s: %v", raw, err)
	}
	o.orders++
	sequence := o.ids("SELECT id FROM " + o.table(want) + " ORDER BY " + o.orderBy(want.terms))
	printed := o.ids("SELECT id FROM " + o.table(want) + " ORDER BY " + string(order.AppendSQL(nil, o.columns)))
	if !slices.Equal(printed, sequence) {
		o.t.Fatalf("%s: AppendSQL gives\n%v, not\n%v", raw, printed, sequence)
	}
	byKey, keys := slices.Clone(sequence), o.orderKeys(order, sequence)
	slices.SortStableFunc(byKey, cmp.Compare[int])
	slices.SortStableFunc(byKey, func(a, b int) int { return bytes.Compare(keys[a], keys[b]) })
	if !slices.Equal(byKey, sequence) {
		o.t.Fatalf("%s: AppendKey gives\n%v, not\n%v", raw, byKey, sequence)
	}
	o.checkPairs(raw, order[:want.asked], want, sequence)
	for range boundsPerOrder {
		o.checkBounds(raw, order, want, sequence)
	}
}
