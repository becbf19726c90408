package predicate_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/mapping/predicate"
)

// ids gives the first column of a query.
func (o *orderOracle) ids(sql string) []int {
	var ids []int
	for _, r := range pgvaluetest.MustRows(o.t, o.conn, sql) {
		id, err := strconv.Atoi(string(r[0]))
		if err != nil {
			o.t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

// ranks gives the dense rank of each id.
func (o *orderOracle) ranks(table, orderBy string) map[int]int {
	ranks := map[int]int{}
	sql := fmt.Sprintf("SELECT id::text || ' ' || dense_rank() OVER (ORDER BY %s) FROM %s", orderBy, table)
	for _, r := range pgvaluetest.MustRows(o.t, o.conn, sql) {
		var id, rank int
		if _, err := fmt.Sscan(string(r[0]), &id, &rank); err != nil {
			o.t.Fatal(err)
		}
		ranks[id] = rank
	}
	return ranks
}

// orderKeys gives the order key of each row.
func (o *orderOracle) orderKeys(order predicate.Order, ids []int) map[int][]byte {
	keys := map[int][]byte{}
	for _, id := range ids {
		o.row.Reset(o.rows[id])
		key, err := order.AppendKey(nil, o.row)
		if err != nil {
			o.t.Fatal(err)
		}
		keys[id] = key
	}
	return keys
}

// checkPairs compares all pairs of rows in terms that don't make them unequal.
func (o *orderOracle) checkPairs(raw json.RawMessage, order predicate.Order, want testOrder, ids []int) {
	ranks := o.ranks(o.table(want), o.orderBy(want.terms[:want.asked]))
	keys := o.orderKeys(order, ids)
	for i, a := range ids {
		for _, b := range ids[i+1:] {
			o.comparisons++
			wanted := cmp.Compare(ranks[a], ranks[b])
			if wanted == 0 {
				o.ties++
			}
			if got := bytes.Compare(keys[a], keys[b]); got != wanted {
				o.t.Fatalf("%s: rows %d and %d compare as %d by their keys %x and %x, not as %d", raw, a, b, got, keys[a], keys[b], wanted)
			}
			if wanted != 0 && (bytes.HasPrefix(keys[a], keys[b]) || bytes.HasPrefix(keys[b], keys[a])) {
				o.t.Fatalf("%s: the key of row %d or %d is the beginning of the other: %x and %x", raw, a, b, keys[a], keys[b])
			}
		}
	}
}

// checkBounds takes one position, in every other case that of a row.
func (o *orderOracle) checkBounds(raw json.RawMessage, order predicate.Order, want testOrder, ids []int) {
	terms := want.terms[:1+o.random.IntN(len(want.terms))]
	var cursor []orderValue
	if o.random.IntN(2) == 0 {
		cursor = o.cursorAt(terms, o.rows[ids[o.random.IntN(len(ids))]])
	} else {
		cursor = o.randomCursor(terms)
	}
	const cursorID = -1
	names, literals, wires := []string{"id AS id"}, []string{strconv.Itoa(cursorID)}, []string{}
	for i, t := range terms {
		wires = append(wires, string(cursor[i].wire))
		// Under another name, as the id can be among them, and the cursor has one of its own.
		name := predicate.QuoteIdentifier(o.columns[t.column].Name)
		names, literals = append(names, name+" AS p"+strconv.Itoa(i)), append(literals, cursor[i].sql)
	}
	table := fmt.Sprintf("(SELECT %s FROM %s UNION ALL SELECT %s) u", strings.Join(names, ", "), o.table(want), strings.Join(literals, ", "))
	ranks := o.ranks(table, o.orderByPositions(terms))
	position := json.RawMessage("[" + strings.Join(wires, ",") + "]")
	for bound, holds := range map[predicate.Bound]func(int) bool{
		predicate.StartAt:    func(c int) bool { return c >= 0 },
		predicate.StartAfter: func(c int) bool { return c > 0 },
		predicate.EndAt:      func(c int) bool { return c <= 0 },
		predicate.EndBefore:  func(c int) bool { return c < 0 },
	} {
		n, err := order.Bound(bound, position, o.columns)
		if err != nil {
			o.t.Fatalf("%s %s %s: %v", raw, bound, position, err)
		}
		o.bounds++
		o.checkBound(fmt.Sprintf("%s %s %s", raw, bound, position), n, want, func(id int) bool {
			return holds(cmp.Compare(ranks[id], ranks[cursorID]))
		})
	}
}

// orderByPositions is orderBy over the columns p0, p1 and so on.
func (o *orderOracle) orderByPositions(terms []testTerm) string {
	list := make([]string, len(terms))
	for i, t := range terms {
		name := predicate.QuoteIdentifier(o.columns[t.column].Name)
		list[i] = strings.Replace(o.orderBy(terms[i:i+1]), name, "p"+strconv.Itoa(i), 1)
	}
	return strings.Join(list, ", ")
}

func (o *orderOracle) cursorAt(terms []testTerm, row textRow) []orderValue {
	cursor := make([]orderValue, len(terms))
	for i, t := range terms {
		cursor[i] = orderValue{"NULL", json.RawMessage("null")}
		if text := row[t.column]; text != nil {
			typ := o.columns[t.column].Type
			wire, err := typ.AppendJSON(nil, text)
			if err != nil {
				o.t.Fatal(err)
			}
			cursor[i] = orderValue{pgvaluetest.Quote(string(text)) + "::" + typ.Name, wire}
		}
	}
	return cursor
}

func (o *orderOracle) randomCursor(terms []testTerm) []orderValue {
	cursor := make([]orderValue, len(terms))
	for i, t := range terms {
		cursor[i] = orderValue{"NULL", json.RawMessage("null")}
		if o.random.IntN(5) > 0 {
			values := o.values[t.column]
			cursor[i] = values[o.random.IntN(len(values))]
		}
	}
	return cursor
}

// checkBound compares what the node and its SQL say of each row.
func (o *orderOracle) checkBound(what string, n *predicate.Node, want testOrder, holds func(id int) bool) {
	sql, args := n.AppendSQL(nil, nil, o.columns)
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a.(string))
	}
	anchors := n.Anchors(nil)
	for _, r := range pgvaluetest.MustRows(o.t, o.conn, fmt.Sprintf("SELECT id, %s FROM %s", sql, o.table(want)), params...) {
		id, err := strconv.Atoi(string(r[0]))
		if err != nil {
			o.t.Fatal(err)
		}
		o.row.Reset(o.rows[id])
		got, err := n.Eval(o.row)
		if err != nil {
			o.t.Fatalf("%s: row %d: %v", what, id, err)
		}
		if wanted := holds(id); got != wanted || (string(r[1]) == "t") != wanted {
			o.t.Fatalf("%s: row %d: Eval says %v, AppendSQL %q, its place %v: %s with %q", what, id, got, r[1], wanted, sql, args)
		}
		if got && !o.admits(anchors) {
			o.t.Fatalf("%s: row %d is true, but no anchor of %v admits it", what, id, anchors)
		}
		o.cases++
		switch string(r[1]) {
		case "t":
			o.trues++
		case "f":
			o.falses++
		default:
			o.nulls++
		}
	}
}

// report prints the counts and fails where little was put to the test.
func (o *orderOracle) report() {
	share := func(n, of int) float64 { return 100 * float64(n) / float64(of) }
	o.t.Logf("%d orders, %d comparisons (%.1f %% ties); %d bounds, %d cases: %.1f %% true, %.1f %% false, %.1f %% null", o.orders, o.comparisons,
		share(o.ties, o.comparisons), o.bounds, o.cases, share(o.trues, o.cases), share(o.falses, o.cases), share(o.nulls, o.cases))
	if share(o.ties, o.comparisons) < 1 || share(o.trues, o.cases) < 10 || share(o.falses, o.cases) < 10 {
		o.t.Error("that is too one-sided to mean anything")
	}
}
