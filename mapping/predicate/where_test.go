package predicate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

// errHidden is what a resolver says of a column that a role may not see.
var errHidden = errors.New(`column "secret" does not exist or may not be seen`)

func columns() []predicate.Column {
	text := &pgvalue.Type{OID: 25, Base: 25, Kind: pgvalue.KindText, Name: "text"}
	return []predicate.Column{
		{Name: "status", Type: text},
		{Name: "branch_id", Type: &pgvalue.Type{OID: 2950, Base: 2950, Kind: pgvalue.KindUUID, Name: "uuid"}},
		{Name: "starts_at", Type: &pgvalue.Type{OID: 1184, Base: 1184, Kind: pgvalue.KindTimestampTZ, Name: "timestamptz"}},
		{Name: "price", Type: &pgvalue.Type{OID: 1700, Base: 1700, Kind: pgvalue.KindNumeric, Name: "numeric"}},
		{Name: "tags", Type: &pgvalue.Type{OID: 1009, Base: 1009, Kind: pgvalue.KindArray, Name: "text[]", Elem: text}},
		{Name: "seats", Type: &pgvalue.Type{OID: 23, Base: 23, Kind: pgvalue.KindInt, Name: "integer"}},
		{Name: "prefs", Type: &pgvalue.Type{OID: 3802, Base: 3802, Kind: pgvalue.KindJSONB, Name: "jsonb"}},
	}
}

func resolve(name string) (int, predicate.Column, error) {
	for i, c := range columns() {
		if c.Name == name {
			return i, c, nil
		}
	}
	return 0, predicate.Column{}, errHidden
}

func mustWhere(tb testing.TB, filter string) *predicate.Node {
	tb.Helper()
	n, err := predicate.ParseWhere(json.RawMessage(filter), resolve, predicate.DefaultLimits())
	if err != nil {
		tb.Fatalf("%s: %v", filter, err)
	}
	return n
}

func sqlOf(n *predicate.Node) string {
	sql, args := n.AppendSQL(nil, nil, columns())
	if len(args) == 0 {
		return string(sql)
	}
	return fmt.Sprintf("%s %q", sql, args)
}

func TestParseWhere(t *testing.T) {
	for _, c := range []struct{ filter, sql string }{
		{``, `TRUE`},
		{`null`, `TRUE`},
		{`[]`, `TRUE`},
		{`[["status","==","confirmed"]]`, `"status" = $1::text ["confirmed"]`},
		{`[["status","==",null]]`, `"status" IS NULL`},
		{`[["status","!=",null]]`, `"status" IS NOT NULL`},
		{`[["status","is-null",false]]`, `"status" IS NOT NULL`},
		{`[["price",">",1e2],["seats","<=",4]]`, `("price" > $1::numeric AND "seats" <= $2::integer) ["1e2" "4"]`},
		{`[["status",">=","a"]]`, `"status" COLLATE "C" >= $1::text ["a"]`},
		{`[{"or":[["status","in",["b","a","b"]],{"and":[["seats","not-in",[1,2]]]}]}]`,
			`("status" = ANY ($1::text[]) OR "seats" <> ALL ($2::integer[])) ["{\"a\",\"b\"}" "{\"1\",\"2\"}"]`},
		{`[["status","in",["a"]]]`, `"status" = $1::text ["a"]`},
		{`[["status","in",[]]]`, `FALSE`},
		{`[["status","not-in",[]]]`, `TRUE`},
		{`[["tags","array-contains-any",[]],["seats","==",1]]`, `FALSE`},
		{`[{"not":["status","==","a"]}]`, `"status" <> $1::text ["a"]`},
		{`[{"not":{"or":[["seats","<",1],["tags","array-contains","x"],{"not":["price","==",2]}]}}]`,
			`("seats" >= $1::integer AND NOT ("tags" @> $2::text[]) AND "price" = $3::numeric) ["1" "{\"x\"}" "2"]`},
		{`[["tags","array-contains-any",["x","y"]]]`, `"tags" && $1::text[] ["{\"x\",\"y\"}"]`},
		{`[["tags","==",["x",null]]]`, `"tags" = $1::text[] ["{\"x\",NULL}"]`},
		{`[["status","starts-with","conf"]]`, `("status"::text COLLATE "C" >= $1::text AND "status"::text COLLATE "C" < $2::text) ["conf" "cong"]`},
		{"[[\"status\",\"starts-with\",\"a\uD7FF\"]]", `("status"::text COLLATE "C" >= $1::text AND "status"::text COLLATE "C" < $2::text) ["a\ud7ff" "a\ue000"]`},
		{"[[\"status\",\"starts-with\",\"a\U0010FFFF\"]]", `("status"::text COLLATE "C" >= $1::text AND "status"::text COLLATE "C" < $2::text) ["a\U0010ffff" "b"]`},
		{"[[\"status\",\"starts-with\",\"\U0010FFFF\"]]", `("status"::text COLLATE "C" >= $1::text) ["\U0010ffff"]`},
		{`[["starts_at",">=","2026-03-01T00:00:00+01:00"]]`, `"starts_at" >= $1::timestamptz ["2026-02-28 23:00:00.000000+00"]`},
		{`[["prefs","==",{"b":1,"a":[1.50]}]]`, `"prefs" = $1::jsonb ["{\"a\": [15e-1], \"b\": 1}"]`},
	} {
		if got := sqlOf(mustWhere(t, c.filter)); got != c.sql {
			t.Errorf("%s:\n got %s\nwant %s", c.filter, got, c.sql)
		}
	}
}

func TestParseWhereErrors(t *testing.T) {
	limits := predicate.Limits{Depth: 3, Nodes: 4, Values: 2}
	for _, c := range []struct {
		filter string
		code   predicate.FilterCode
		want   string
	}{
		{`{`, "invalid", `where: not valid JSON`},
		{`[] []`, "invalid", `where: there is more after`},
		{`{"status":"a"}`, "invalid", `where: needs a list of conditions`},
		{`["status","==","a"]`, "invalid", `where[0]: needs ["column", "operator", value]`},
		{`[["status","=="]]`, "invalid", `where[0]: needs ["column", "operator", value], got 2 parts`},
		{`[["status","=","a"]]`, "invalid", `where[0]: operator "=" does not exist: use ==`},
		{`[[1,"==","a"]]`, "invalid", `where[0]: the first part needs to be a column's name`},
		{`[["status","==","a"],["secret","==",1]]`, "column", `where[1]: column "secret" does not exist or may not be seen`},
		{`[["seats","==","four"]]`, "invalid", `where[0]: column "seats": type integer needs a whole number from -2147483648 to 2147483647 (a number or a string), got string "four"`},
		{`[{"or":[["seats","==",1],["seats","<",null]]}]`, "invalid", `where[0].or[1]: column "seats": null equals nothing in type integer: use is-null`},
		{`[["seats","in",[1,null]]]`, "invalid", `null equals nothing`},
		{`[["seats","in",1]]`, "invalid", `where[0]: in needs a list of values`},
		{`[["seats","in",[1,2,3]]]`, "too_large", `where[0]: in has more than 2 values`},
		{`[["status","is-null","x"]]`, "invalid", `is-null needs true or false`},
		{`[["prefs","<",1]]`, "invalid", `where[0]: column "prefs": type jsonb is not ordered here`},
		{`[["seats","starts-with","1"]]`, "invalid", `type integer has no prefix`},
		{`[["seats","array-contains",1]]`, "invalid", `type integer is not an array`},
		{`[["status","==","a\u0000"]]`, "invalid", `U+0000`},
		{`[{"not":[["status","==","a"]]}]`, "invalid", `where[0].not: needs ["column", "operator", value], got 1 parts`},
		{`[{"or":[]}]`, "invalid", `where[0].or: needs a list of at least one condition`},
		{`[{"xor":[]}]`, "invalid", `where[0]: needs "and", "or" or "not", got "xor"`},
		{`[{}]`, "invalid", `where[0]: needs exactly one of`},
		{`[{"and":[],"or":[]}]`, "invalid", `got 2 keys`},
		{`[{"not":{"not":{"not":["seats","==",1]}}}]`, "too_large", `where[0].not.not.not: conditions nest more than 3 deep`},
		{`[{"or":[["seats","==",1],["seats","==",2]]},["seats","==",3],["seats","==",4]]`, "too_large", `where[2]: there are more than 4 conditions`},
	} {
		_, err := predicate.ParseWhere(json.RawMessage(c.filter), resolve, limits)
		var filterErr *predicate.FilterError
		if !errors.As(err, &filterErr) || filterErr.Code != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s: %s", c.filter, err, c.code, c.want)
		}
		if c.code == predicate.FilterColumn && !errors.Is(err, errHidden) {
			t.Errorf("%s: the resolver's error is lost", c.filter)
		}
	}
	deep := strings.Repeat(`{"not":`, 100_000) + "1" + strings.Repeat("}", 100_000)
	if _, err := predicate.ParseWhere(json.RawMessage("["+deep+"]"), resolve, predicate.Limits{}); err == nil {
		t.Error("a hundred thousand nots: want an error")
	}
}

func TestCanonical(t *testing.T) {
	same := [][2]string{
		{`[["status","==","a"],["seats","==",1]]`, `[["seats","==",1.0],["status","==","a"],["seats","==",1]]`},
		{`[["price","in",[1,2.0]]]`, `[["price","in",["2.00",1]]]`},
		{`[{"or":[["status","==","a"],["status","==","a"]]}]`, `[["status","==","a"]]`},
		{`[{"not":["seats","<",3]}]`, `[["seats",">=",3]]`},
		{`[["starts_at","<","2026-03-01T00:00:00Z"]]`, `[["starts_at","<","2026-03-01T01:00:00+01:00"]]`},
	}
	for _, c := range same {
		if mustWhere(t, c[0]).Canonical() != mustWhere(t, c[1]).Canonical() {
			t.Errorf("%s and %s differ", c[0], c[1])
		}
	}
	different := []string{`[]`, `[["seats","in",[]]]`, `[["status","==","a"]]`, `[["status","!=","a"]]`, `[["status","==","ab"]]`, `[["status","starts-with","a"]]`,
		`[["status","in",["a","b"]]]`, `[["tags","==",["a","b"]]]`, `[["tags","array-contains-any",["a","b"]]]`,
		`[["status","==","a"],["seats","==",1]]`, `[{"or":[["status","==","a"],["seats","==",1]]}]`, `[["status","is-null",true]]`}
	padded := predicate.Column{Name: "code", Type: &pgvalue.Type{OID: 1042, Base: 1042, Kind: pgvalue.KindBPChar, Name: "bpchar"}}
	short, err1 := predicate.Compare(0, padded, predicate.StartsWith, "a")
	long, err2 := predicate.Compare(0, padded, predicate.StartsWith, "a ")
	if err1 != nil || err2 != nil || short.Canonical() == long.Canonical() {
		t.Errorf("prefixes of char(n) that differ by a space are taken for the same (%v, %v)", err1, err2)
	}
	seen := map[string]string{}
	for _, filter := range different {
		key := mustWhere(t, filter).Canonical()
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s are taken for the same", other, filter)
		}
		seen[key] = filter
	}
}
