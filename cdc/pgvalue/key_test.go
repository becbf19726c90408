package pgvalue_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/internal/pgtest"
)

// TestKeyAgreesWithPostgreSQL compares every pair of the samples of a type, by
// their keys and by PostgreSQL's operators.
func TestKeyAgreesWithPostgreSQL(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	for _, s := range pgvaluetest.Samples() {
		typ := pgvaluetest.MustType(t, conn, s.Name)
		if !typ.SupportsEquality() {
			continue
		}
		t.Run(s.Name, func(t *testing.T) { checkPairs(t, conn, typ, s) })
	}
}

func checkPairs(t *testing.T, conn *pgx.Conn, typ *pgvalue.Type, s pgvaluetest.Sample) {
	if typ.SupportsOrder() != s.Ordered {
		t.Fatalf("order: got %v, want %v", typ.SupportsOrder(), s.Ordered)
	}
	texts := pgvaluetest.MustText(t, conn, s.Name, s.Values)
	keys := make([][]byte, len(texts))
	for i, text := range texts {
		var err error
		if keys[i], err = typ.AppendKey(nil, text); err != nil {
			t.Fatalf("key of %s: %v", s.Values[i], err)
		}
		if key, _, err := typ.Key(nil, text); err != nil || !bytes.Equal(key, keys[i]) {
			t.Fatalf("Key of %s: %x, %v; AppendKey: %x", s.Values[i], key, err, keys[i])
		}
	}
	pgtest.MustExec(t, conn, "CREATE TEMP TABLE pairs (i int, v "+s.Name+")")
	defer pgtest.MustExec(t, conn, "DROP TABLE pairs")
	for i, v := range s.Values {
		pgtest.MustExec(t, conn, "INSERT INTO pairs VALUES ($1, "+pgvaluetest.Quote(v)+"::"+s.Name+")", i)
	}
	less := "false"
	if s.Ordered {
		less = "a.v < b.v"
		if typ.Kind == pgvalue.KindText || typ.Kind == pgvalue.KindBPChar {
			less = `a.v < b.v COLLATE "C"`
		}
	}
	rows, _ := conn.Query(context.Background(), "SELECT a.i, b.i, a.v = b.v, "+less+" FROM pairs a, pairs b")
	var i, j int
	var equal, smaller bool
	_, err := pgx.ForEachRow(rows, []any{&i, &j, &equal, &smaller}, func() error {
		got := bytes.Compare(keys[i], keys[j])
		if (got == 0) != equal {
			t.Errorf("%s = %s: PostgreSQL says %v, the keys %x and %x differ on it", s.Values[i], s.Values[j], equal, keys[i], keys[j])
		}
		if s.Ordered && (got < 0) != smaller {
			t.Errorf("%s < %s: PostgreSQL says %v, the keys %x and %x differ on it", s.Values[i], s.Values[j], smaller, keys[i], keys[j])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeyRefusesForeignText(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	for typeName, texts := range map[string][]string{
		"int4":        {"", "x", "1.5", "99999999999999999999"},
		"float8":      {"", "1,5"},
		"numeric":     {"", ".", "1e", "1.2.3", "--1"},
		"bool":        {"", "true"},
		"uuid":        {"", "x"},
		"bytea":       {"", "abc", `\x0`},
		"date":        {"", "01/02/2026", "2026-02-30", "2026-13-01", "2026-3-1"},
		"timestamp":   {"", "2026-03-01", "2026-03-01T09:00:00", "2026-03-01 25:00:00", "2026-03-01 09:00:00+00"},
		"timestamptz": {"", "2026-03-01 09:00:00", "2026-03-01 09:00:00+", "2026-03-01 09:00:00 CET"},
		"time":        {"", "9:00", "24:00:01"},
		"timetz":      {"", "09:00:00"},
		"interval":    {"", "1 mon", "P", "PT", "P1H", "P1.5D"},
		"inet":        {"", "10.0.0", "fe80::1%eth0"},
		"jsonb":       {"", "1.2.3"},
		"text[]":      {"", "{", "a", "{a}b", `{"a`, `{"a\`, "{a", "{,}", "{a,}", "{,a}", "{{a}{b}}", "{}{}", "[0:1]=", "}{"},
		"int4[]":      {"{x}"},
	} {
		typ := pgvaluetest.MustType(t, conn, typeName)
		for _, text := range texts {
			if key, err := typ.AppendKey(nil, []byte(text)); err == nil {
				t.Errorf("%s %q: key %x, want an error", typeName, text, key)
			}
		}
	}
}

func TestAppendElementKeys(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	typ := pgvaluetest.MustType(t, conn, "text[]")
	text := pgvaluetest.MustText(t, conn, "text[]", []string{`{{a,NULL,""},{"NULL","x\"\\,y",b}}`})[0]
	keys, _, err := typ.AppendElementKeys(nil, nil, text)
	if want := `["a" "" "NULL" "x\"\\,y" "b"]`; err != nil || fmt.Sprintf("%q", keys) != want {
		t.Errorf("got %q, %v, want %s", keys, err, want)
	}
	if _, _, err := pgvaluetest.MustType(t, conn, "text").AppendElementKeys(nil, nil, []byte("a")); err == nil {
		t.Error("elements of a text: want an error")
	}
}

// Since 17 there are infinite intervals.
func TestInfiniteIntervals(t *testing.T) {
	if pgtest.Version(t) < 170000 {
		t.Skip("intervals can be infinite since PostgreSQL 17")
	}
	conn := pgvaluetest.MustSession(t)
	typ := pgvaluetest.MustType(t, conn, "interval")
	values := []string{"infinity", "-infinity", "178000000 years", "-178000000 years", "0"}
	checkPairs(t, conn, typ, pgvaluetest.Sample{Name: "interval", Values: values, Ordered: true})
	for i, text := range pgvaluetest.MustText(t, conn, "interval", values[:2]) {
		if got, err := typ.AppendJSON(nil, text); err != nil || string(got) != `"`+values[i]+`"` {
			t.Errorf("%s: got %s, %v", values[i], got, err)
		}
	}
}
