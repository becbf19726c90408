package pgvalue_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/internal/pgtest"
)

func TestLoad(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	pgtest.MustExec(t, conn, `CREATE EXTENSION citext SCHEMA public;
		CREATE DOMAIN "Odd Schema".codes AS public.code[]`)
	for _, c := range []struct {
		sql, name        string
		kind             pgvalue.Kind
		domain, nonDeter bool
	}{
		{"char(5)", "bpchar", pgvalue.KindBPChar, false, false},
		{"char(5)[]", "bpchar[]", pgvalue.KindArray, false, false},
		{`"char"`, `"char"`, pgvalue.KindText, false, false},
		{"timestamptz", "timestamp with time zone", pgvalue.KindTimestampTZ, false, false},
		{"timestamptz[]", "timestamp with time zone[]", pgvalue.KindArray, false, false},
		{"public.code", "character varying", pgvalue.KindText, true, false},
		{"public.code[]", "character varying[]", pgvalue.KindArray, false, false},
		{`"Odd Schema".codes`, "character varying[]", pgvalue.KindArray, true, false},
		{`"Odd Schema"."Mood"`, `"Odd Schema"."Mood"`, pgvalue.KindEnum, false, false},
		{`"Odd Schema"."Mood"[]`, `"Odd Schema"."Mood"[]`, pgvalue.KindArray, false, false},
		{`"Odd Schema".pair`, `"Odd Schema".pair`, pgvalue.KindOther, false, false},
		{"public.loose_text", "text", pgvalue.KindText, true, true},
		{"public.citext", "public.citext", pgvalue.KindText, false, true},
		{"public.citext[]", "public.citext[]", pgvalue.KindArray, false, true},
		{"int4range", "int4range", pgvalue.KindOther, false, false},
		{"int2vector", "int2vector", pgvalue.KindOther, false, false},
		{"point", "point", pgvalue.KindOther, false, false},
	} {
		typ := pgvaluetest.MustType(t, conn, c.sql)
		if typ.Name != c.name || typ.Kind != c.kind || typ.IsDomain() != c.domain || typ.NondeterministicCollation != c.nonDeter {
			t.Errorf("%s: got %+v", c.sql, typ)
		}
		if c.nonDeter && (typ.SupportsEquality() || typ.SupportsPrefix() || typ.WithCollation(true).SupportsEquality() == strings.Contains(c.sql, "citext")) {
			t.Errorf("%s: equality by octets offered, or not after WithCollation(true)", c.sql)
		}
	}
	if mood := pgvaluetest.MustType(t, conn, `"Odd Schema"."Mood"`); !slices.Equal(mood.Labels, []string{"sad", "ok", `it's, "fine"`}) {
		t.Errorf("labels: got %q", mood.Labels)
	}
	if _, err := pgvalue.Load(context.Background(), conn, []uint32{25, 4_000_000_000}); err == nil || !strings.Contains(err.Error(), "4000000000") {
		t.Errorf("a missing type: got %v", err)
	}
}

func TestWithCollation(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	for _, name := range []string{"text", "text[]", "char(3)"} {
		typ := pgvaluetest.MustType(t, conn, name)
		loose := typ.WithCollation(false)
		if !typ.SupportsEquality() || loose.SupportsEquality() || loose.SupportsContains() {
			t.Errorf("%s under a nondeterministic collation offers equality", name)
		}
		if typ.WithCollation(true) != typ {
			t.Errorf("%s: no change made a copy", name)
		}
		err := loose.CheckEquality()
		if err == nil || !strings.Contains(err.Error(), "give the column a deterministic collation") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
