package predicate_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// orderKey is the key of the tests' table: branch_id, seats.
func orderKey() []int { return []int{1, 5} }

func mustOrder(tb testing.TB, orderBy string) predicate.Order {
	tb.Helper()
	o, err := predicate.ParseOrder(json.RawMessage(orderBy), resolve, orderKey(), columns(), predicate.DefaultLimits())
	if err != nil {
		tb.Fatalf("%s: %v", orderBy, err)
	}
	return o
}

func TestParseOrder(t *testing.T) {
	for _, c := range []struct{ orderBy, sql string }{
		{``, `"branch_id" ASC NULLS LAST, "seats" ASC NULLS LAST`},
		{`null`, `"branch_id" ASC NULLS LAST, "seats" ASC NULLS LAST`},
		{`[]`, `"branch_id" ASC NULLS LAST, "seats" ASC NULLS LAST`},
		{`["status"]`, `"status" COLLATE "C" ASC NULLS FIRST, "branch_id" ASC NULLS LAST, "seats" ASC NULLS LAST`},
		{`[["price"]]`, `"price" ASC NULLS FIRST, "branch_id" ASC NULLS LAST, "seats" ASC NULLS LAST`},
		{`["status",["price","desc"]]`, `"status" COLLATE "C" ASC NULLS FIRST, "price" DESC NULLS LAST, "branch_id" DESC NULLS FIRST, "seats" DESC NULLS FIRST`},
		{`[["price","desc","nulls-first"],["starts_at","asc","nulls-last"]]`,
			`"price" DESC NULLS FIRST, "starts_at" ASC NULLS LAST, "branch_id" ASC NULLS LAST, "seats" ASC NULLS LAST`},
		{`[["seats","desc"],["price","asc"]]`, `"seats" DESC NULLS FIRST, "price" ASC NULLS FIRST, "branch_id" ASC NULLS LAST`},
	} {
		if got := string(mustOrder(t, c.orderBy).AppendSQL(nil, columns())); got != c.sql {
			t.Errorf("%s:\n got %s\nwant %s", c.orderBy, got, c.sql)
		}
	}
}

func TestParseOrderErrors(t *testing.T) {
	limits := predicate.Limits{Values: 2}
	for _, c := range []struct {
		orderBy string
		code    predicate.FilterCode
		want    string
	}{
		{`[`, "invalid", `orderBy: not valid JSON`},
		{`"status"`, "invalid", `orderBy: needs a list of columns`},
		{`[1]`, "invalid", `orderBy[0]: needs "column", ["column", "asc" or "desc"]`},
		{`[[]]`, "invalid", `orderBy[0]: needs "column"`},
		{`[["status",null]]`, "invalid", `orderBy[0]: needs "column"`},
		{`[["status","asc","nulls-last","x"]]`, "invalid", `orderBy[0]: needs "column"`},
		{`[["status","DESC"]]`, "invalid", `orderBy[0]: the direction needs to be "asc" or "desc", got "DESC"`},
		{`[["status","asc","nulls"]]`, "invalid", `orderBy[0]: the third part needs to be "nulls-first" or "nulls-last", got "nulls"`},
		{`["status","secret"]`, "column", `orderBy[1]: column "secret" does not exist or may not be seen`},
		{`["status",["status","desc"]]`, "invalid", `orderBy[1]: column "status" is there already`},
		{`["prefs"]`, "invalid", `orderBy[0]: column "prefs": type jsonb is not ordered here`},
		{`["status","price","seats"]`, "too_large", `orderBy[2]: there are more than 2 columns`},
	} {
		_, err := predicate.ParseOrder(json.RawMessage(c.orderBy), resolve, orderKey(), columns(), limits)
		wantFilterError(t, c.orderBy, err, c.code, c.want)
	}
	_, err := predicate.ParseOrder(nil, resolve, []int{6}, columns(), limits)
	wantFilterError(t, "jsonb as key", err, "invalid", `orderBy: the table's key has no order: column "prefs"`)
}

func wantFilterError(t *testing.T, what string, err error, code predicate.FilterCode, want string) {
	t.Helper()
	var filterErr *predicate.FilterError
	if !errors.As(err, &filterErr) || filterErr.Code != code || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%s:\n got %v\nwant %s: %s", what, err, code, want)
	}
}

func TestOrderCanonical(t *testing.T) {
	same := mustOrder(t, `["status"]`)
	for orderBy, want := range map[string]bool{
		`[["status","asc","nulls-first"]]`:                    true,
		`["status",["branch_id","asc"],"seats"]`:              true,
		`[["status","asc","nulls-last"]]`:                     false,
		`[["status","desc"]]`:                                 false,
		`["status","seats"]`:                                  false,
		`[]`:                                                  false,
		`["status",["branch_id","asc"],["seats","desc"]]`:     false,
		`[["status","desc","nulls-first"],"seats"]`:           false,
		`[["status","asc"],["branch_id","asc"],["seats"]]`:    true,
		`["status","price","branch_id",["seats","desc"]]`:     false,
		`["status",["branch_id","asc","nulls-last"],"seats"]`: false,
	} {
		if got := mustOrder(t, orderBy).Canonical() == same.Canonical(); got != want {
			t.Errorf("%s: same as [\"status\"] is %v", orderBy, got)
		}
	}
}

func TestOrderReverse(t *testing.T) {
	o := mustOrder(t, `["status",["price","desc","nulls-first"]]`)
	want := `"status" COLLATE "C" DESC NULLS LAST, "price" ASC NULLS LAST, "branch_id" ASC NULLS LAST, "seats" ASC NULLS LAST`
	if got := string(o.Reverse().AppendSQL(nil, columns())); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if o.Reverse().Reverse().Canonical() != o.Canonical() {
		t.Error("reversed twice it is not the same")
	}
}

func TestBound(t *testing.T) {
	nullsFirst, nullsLast := `["price",["status","desc"]]`, `[["price","asc","nulls-last"]]`
	for _, c := range []struct {
		orderBy string
		bound   predicate.Bound
		values  string
		sql     string
	}{
		{nullsFirst, predicate.StartAt, `[1]`, `"price" >= $1::numeric ["1"]`},
		{nullsFirst, predicate.StartAfter, `[1]`, `"price" > $1::numeric ["1"]`},
		{nullsFirst, predicate.EndAt, `[1]`, `("price" <= $1::numeric OR "price" IS NULL) ["1"]`},
		{nullsFirst, predicate.EndBefore, `[1]`, `("price" < $1::numeric OR "price" IS NULL) ["1"]`},
		{nullsFirst, predicate.StartAt, `[null]`, `TRUE`},
		{nullsFirst, predicate.StartAfter, `[null]`, `"price" IS NOT NULL`},
		{nullsFirst, predicate.EndAt, `[null]`, `"price" IS NULL`},
		{nullsFirst, predicate.EndBefore, `[null]`, `FALSE`},
		{nullsLast, predicate.StartAfter, `[1]`, `("price" > $1::numeric OR "price" IS NULL) ["1"]`},
		{nullsLast, predicate.StartAfter, `[null]`, `FALSE`},
		{nullsLast, predicate.StartAt, `[null]`, `"price" IS NULL`},
		{nullsLast, predicate.EndBefore, `[null]`, `"price" IS NOT NULL`},
		{nullsFirst, predicate.StartAfter, `[1,"a"]`,
			`("price" >= $1::numeric AND ("price" > $2::numeric OR "status" COLLATE "C" < $3::text OR "status" IS NULL)) ["1" "1" "a"]`},
		{`[["status","desc"]]`, predicate.StartAfter, `[null,"00000000-0000-0000-0000-000000000000",7]`,
			`("status" IS NULL AND "branch_id" <= $1::uuid AND ("branch_id" < $2::uuid OR "seats" < $3::integer)) ` +
				`["00000000-0000-0000-0000-000000000000" "00000000-0000-0000-0000-000000000000" "7"]`},
	} {
		n, err := mustOrder(t, c.orderBy).Bound(c.bound, json.RawMessage(c.values), columns())
		if err != nil {
			t.Errorf("%s %s %s: %v", c.orderBy, c.bound, c.values, err)
			continue
		}
		if got := sqlOf(n); got != c.sql {
			t.Errorf("%s %s %s:\n got %s\nwant %s", c.orderBy, c.bound, c.values, got, c.sql)
		}
	}
}

func TestBoundErrors(t *testing.T) {
	o := mustOrder(t, `["price"]`)
	for _, c := range []struct {
		bound        predicate.Bound
		values, want string
	}{
		{predicate.StartAt, ``, `startAt: not valid JSON`},
		{predicate.StartAfter, `null`, `startAfter: needs a list of 1 to 3 values`},
		{predicate.EndAt, `[]`, `endAt: needs a list of 1 to 3 values`},
		{predicate.EndBefore, `[1,2,3,4]`, `endBefore: needs a list of 1 to 3 values`},
		{predicate.StartAt, `[1,"x"]`, `startAt[1]: column "branch_id": type uuid needs a UUID string`},
	} {
		_, err := o.Bound(c.bound, json.RawMessage(c.values), columns())
		wantFilterError(t, c.bound.String()+" "+c.values, err, "invalid", c.want)
	}
}

// TestEnumKey: a key of an enum is ordered by its labels' text on both sides.
func TestEnumKey(t *testing.T) {
	mood := &pgvalue.Type{OID: 70000, Base: 70000, Kind: pgvalue.KindEnum, Name: "mood", Labels: []string{"sad", "ok"}}
	cols := []predicate.Column{{Name: "mood", Type: mood}}
	find := func(string) (int, predicate.Column, error) { return 0, cols[0], nil }
	o, err := predicate.ParseOrder(nil, find, []int{0}, cols, predicate.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(o.AppendSQL(nil, cols)), `"mood"::text COLLATE "C" ASC NULLS LAST`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	n, err := o.Bound(predicate.StartAfter, json.RawMessage(`["ok"]`), cols)
	if err != nil {
		t.Fatal(err)
	}
	sql, _ := n.AppendSQL(nil, nil, cols)
	if want := `"mood"::text COLLATE "C" > $1::text`; string(sql) != want {
		t.Errorf("got %s, want %s", sql, want)
	}
	_, err = predicate.ParseOrder(json.RawMessage(`["mood"]`), find, []int{0}, cols, predicate.Limits{})
	wantFilterError(t, "enum in orderBy", err, "invalid", `orderBy[0]: column "mood": type mood is not ordered here`)
}

func TestOrderKey(t *testing.T) {
	id := []byte("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
	record := func(status, seats string) textRow {
		r := textRow{nil, id, nil, nil, nil, []byte(seats), nil}
		if status != "NULL" {
			r[0] = []byte(status)
		}
		return r
	}
	sequence := []textRow{record("NULL", "-1"), record("NULL", "2"), record("", "1"), record("a", "1"), record("a", "10"), record("aa", "1"), record("b", "0")}
	row := predicate.NewRow(columns())
	for orderBy, reversed := range map[string]bool{`["status"]`: false, `[["status","desc"]]`: true} {
		o := mustOrder(t, orderBy)
		var keys [][]byte
		for _, r := range sequence {
			row.Reset(r)
			key, err := o.AppendKey(nil, row)
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, key)
		}
		if reversed {
			slices.Reverse(keys)
		}
		if !slices.IsSortedFunc(keys, bytes.Compare) {
			t.Errorf("%s: out of order: %q", orderBy, keys)
		}
	}
	row.Reset(record("a", "x"))
	if _, err := mustOrder(t, `["status"]`).AppendKey(nil, row); err == nil {
		t.Error("seats is no number: want an error")
	}
}
