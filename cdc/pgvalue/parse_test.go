package pgvalue_test

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
)

// parseCase is a constant and what becomes of it: equal is SQL that it must be
// equal to, or err a part of the error.
type parseCase struct {
	typ   string
	value any
	equal string
	err   string
}

func parseCases() []parseCase {
	return []parseCase{
		{"int4", json.Number("7"), "7", ""},
		{"int4", json.Number("7.0"), "7", ""},
		{"int4", json.Number("7e3"), "7000", ""},
		{"int4", float64(7), "7", ""},
		{"int4", int64(-7), "-7", ""},
		{"int4", "7", "7", ""},
		{"int4", "seven", "", "needs a whole number from -2147483648 to 2147483647 (a number or a string), got string \"seven\""},
		{"int2", "32768", "", "got string"},
		{"int4", json.Number("7.5"), "", "got number 7.5"},
		{"int4", json.Number("2147483648"), "", "to 2147483647"},
		{"int2", json.Number("32768"), "", "to 32767"},
		{"int4", true, "", "got true"},
		{"int4", nil, "", "use is-null"},
		{"int4", []any{json.Number("1")}, "", "got list [1]"},
		{"int8", "9223372036854775807", "9223372036854775807", ""},
		{"int8", json.Number("9223372036854775807"), "9223372036854775807", ""},
		{"int8", "9223372036854775808", "", "got string"},
		{"int8", uint64(math.MaxUint64), "", "needs a whole number"},
		{"int8", " 7", "", "needs"},
		{"oid", json.Number("-1"), "", "from 0 to 4294967295"},
		{"float8", json.Number("0.1"), "0.1", ""},
		{"float8", json.Number("1e-400"), "0", ""},
		{"float8", json.Number("1e400"), "", "within its range"},
		{"float4", json.Number("0.1"), "0.1", ""},
		{"float4", json.Number("1e39"), "", "within its range"},
		{"float4", "NaN", "'NaN'", ""},
		{"float4", math.Inf(-1), "'-Infinity'", ""},
		{"float8", "0.1", "", "got string"},
		{"numeric", "12.50", "12.5", ""},
		{"numeric", json.Number("1e-20"), "0.00000000000000000001", ""},
		{"numeric", json.Number("1e20"), "100000000000000000000", ""},
		{"numeric", math.NaN(), "'NaN'", ""},
		{"numeric", "1e131072", "", "within its range"},
		{"numeric", "1e-16384", "", "within its range"},
		{"numeric", "12,50", "", "decimal string"},
		{"numeric", "", "", "decimal string"},
		{"numeric", strings.Repeat("9", 200), strings.Repeat("9", 200), ""},
		{"bool", true, "true", ""},
		{"bool", "true", "", "needs true or false"},
		{"text", "it's", "'it''s'", ""},
		{"text", "a\x00b", "", "U+0000"},
		{"text", "a\xffb", "", "UTF-8"},
		{"text", json.Number("1"), "", "needs a string, got number 1"},
		{"name", strings.Repeat("x", 64), "", "at most 63"},
		{`"char"`, "ab", "", "at most 1"},
		{"char(5)", "a  ", "'a'", ""},
		{"uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", ""},
		{"uuid", "a0eebc99", "", "needs a UUID string"},
		{"bytea", "AP8Q", `'\x00ff10'`, ""},
		{"bytea", "***", "", "base64"},
		{"date", "2026-03-01", "'2026-03-01'", ""},
		{"date", "-000043-03-15", "'0044-03-15 BC'", ""},
		{"date", "-004713-11-24", "'4714-11-24 BC'", ""},
		{"date", "-004713-11-23", "", "within PostgreSQL's range"},
		{"date", "+5874897-12-31", "'5874897-12-31'", ""},
		{"date", "+5874898-01-01", "", "within PostgreSQL's range"},
		{"date", "2026-02-29", "", "needs a date"},
		{"date", "2026-03-01T00:00:00Z", "", "needs a date"},
		{"date", "infinity", "'infinity'", ""},
		{"date", "today", "", "needs a date"},
		{"timestamptz", "2026-03-01T09:00:00Z", "'2026-03-01 09:00:00+00'", ""},
		{"timestamptz", "2026-03-01T09:00+02:00", "'2026-03-01 07:00:00+00'", ""},
		{"timestamptz", "2026-03-01T09:00:00.123Z", "'2026-03-01 09:00:00.123+00'", ""},
		{"timestamptz", "2026-03-01T09:00:00.1234567Z", "", "needs a timestamp"},
		{"timestamptz", "2026-03-01T09:00:00", "", "with a zone"},
		{"timestamptz", "2026-03-01T24:00:00Z", "'2026-03-02 00:00:00+00'", ""},
		{"timestamptz", "2026-03-01T09:00:60Z", "", "needs a timestamp"},
		{"timestamptz", "+294276-12-31T23:59:59.999999Z", "'294276-12-31 23:59:59.999999+00'", ""},
		{"timestamptz", "+294276-12-31T23:59:59-12:00", "", "within PostgreSQL's range"},
		{"timestamptz", "-004713-11-24T00:00:00Z", "'4714-11-24 00:00:00+00 BC'", ""},
		{"timestamptz", "-004713-11-23T23:59:59Z", "", "within PostgreSQL's range"},
		{"timestamptz", "+99999999-01-01T00:00:00Z", "", "range"},
		{"timestamptz", time.Date(2026, 3, 1, 9, 0, 0, 1500, time.FixedZone("", 3600)), "'2026-03-01 08:00:00.000001+00'", ""},
		{"timestamptz", time.Date(2000000, 1, 1, 0, 0, 0, 0, time.UTC), "", "range"},
		{"timestamptz", json.Number("1700000000"), "", "got number"},
		{"timestamp", "2026-03-01T09:00:00", "'2026-03-01 09:00:00'", ""},
		{"timestamp", "2026-03-01T09:00:00Z", "'2026-03-01 09:00:00'", ""},
		{"time", "09:30", "'09:30:00'", ""},
		{"time", "24:00:01", "", "needs a time"},
		{"timetz", "09:30:00-05:30", "'09:30:00-05:30'", ""},
		{"timetz", "09:30:00+02", "'09:30:00+02'", ""},
		{"timetz", "09:30:00", "", "with a zone"},
		{"interval", "P1DT2H", "'1 day 2 hours'", ""},
		{"interval", "P2W", "'14 days'", ""},
		{"interval", "PT-0.5S", "'-0.5 seconds'", ""},
		{"interval", "P-1Y2M-3DT-4H5M-6.000001S", "'-10 mons -3 days -03:55:06.000001'", ""},
		{"interval", "PT90M", "'01:30'", ""},
		{"interval", "P1M", "'30 days'", ""},
		{"interval", 90 * time.Minute, "'01:30'", ""},
		{"interval", "1 day", "", "ISO 8601"},
		{"interval", "P2147483648D", "", "ISO 8601"},
		{"interval", "PT2147483648H", "", "ISO 8601"},
		{"jsonb", map[string]any{"bb": json.Number("1.0"), "a": []any{nil, true, "x\n\"\u00e4"}}, `'{"a": [null, true, "x\n\"ä"], "bb": 1}'`, ""},
		{"jsonb", 1.5, "'1.50'", ""},
		{"jsonb", "a\x00", "", "U+0000"},
		{"jsonb", math.NaN(), "", "no number"},
		{"jsonb", json.Number("1e200000"), "", "range"},
		{"json", "x", "", "use jsonb"},
		{"point", "(1,2)", "", "only is-null"},
		{`"Odd Schema"."Mood"`, "ok", "'ok'", ""},
		{`"Odd Schema"."Mood"`, "glad", "", "one of sad, ok"},
		{`"Odd Schema".positive`, json.Number("-1"), "-1", ""},
		{"inet", "10.0.0.1", "'10.0.0.1'", ""},
		{"inet", "2001:DB8:0::1/64", "'2001:db8::1/64'", ""},
		{"inet", "10.0.0", "", "address"},
		{"cidr", "10.0.0.1/8", "", "address"},
		{"macaddr", "08-00-2B-01-02-03", "'08:00:2b:01:02:03'", ""},
		{"macaddr", "08:00:2b:01:02:03:04:05", "", "address"},
		{"text[]", []any{"a", nil, `x"\,y`}, `ARRAY['a', NULL, 'x"\,y']`, ""},
		{"text[]", []string{"NULL", ""}, `ARRAY['NULL', '']`, ""},
		{"text[]", []any{}, "'{}'", ""},
		{"text[]", "a", "", "needs a list"},
		{"int4[]", []any{json.Number("1"), "b"}, "", "element 1: type integer needs"},
	}
}

func TestParse(t *testing.T) {
	conn := pgvaluetest.MustSession(t)
	for _, c := range parseCases() {
		typ := pgvaluetest.MustType(t, conn, c.typ)
		param, err := typ.Parse(c.value)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s %v: got %q, %v; want an error with %q", c.typ, c.value, param.Text, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s %v: %v", c.typ, c.value, err)
			continue
		}
		checkEqual(t, conn, typ.Name, c, param.Text)
	}
}

// checkEqual asks PostgreSQL whether the parameter is the value that the case
// says. The cast is to the base type, whatever a domain would refuse.
func checkEqual(t *testing.T, conn *pgx.Conn, name string, c parseCase, text string) {
	t.Helper()
	var equal bool
	sql := "SELECT $1::" + name + " = (" + c.equal + ")::" + name
	if err := conn.QueryRow(context.Background(), sql, text).Scan(&equal); err != nil || !equal {
		t.Errorf("%s %v: %s with $1 = %q gives %v, %v", c.typ, c.value, sql, text, equal, err)
	}
}
