package pgvaluetest

// Sample is a type with values that are easily got wrong.
type Sample struct {
	Name    string   // of the type, in SQL
	Values  []string // SQL literals without their quotes
	Ordered bool     // offers <, <=, > and >=
}

// Samples cover every kind of pgvalue, in a database with Schema.
func Samples() []Sample {
	return []Sample{
		{"bool", []string{"t", "f"}, true},
		{"int2", []string{"-32768", "-1", "0", "7", "32767"}, true},
		{"int4", []string{"-2147483648", "-10", "-9", "0", "9", "10", "2147483647"}, true},
		{"int8", []string{"-9223372036854775808", "-1", "0", "255", "256", "9223372036854775807"}, true},
		{"oid", []string{"0", "1", "2147483648", "4294967295"}, true},
		{"xid", []string{"0", "1", "4294967295"}, false},
		{"float4", []string{"-0", "0", "0.1", "1.1", "-1.1", "NaN", "Infinity", "-Infinity", "1e-45", "3.4028235e38", "16777217", "16777216"}, true},
		{"float8", []string{"-0", "0", "0.1", "1.1", "-1.1", "NaN", "Infinity", "-Infinity", "5e-324", "1.7976931348623157e308", "1e20", "1e-7", "123456789012345678"}, true},
		{"numeric", []string{"0", "-0.00", "1", "1.0", "1.00", "1e-20", "10", "9", "99", "100", "100.1", "100.10", "99.99", "-1", "-1.5", "-15", "-1.05", "-100", "-99.9",
			"NaN", "Infinity", "-Infinity", "0.1", "0.09", "0.099", "123456789012345678901234567890.123456789", "123456789012345678901234567890.12345678", "1e131071", "1e-16383", "-1e131071"}, true},
		{"numeric(10,2)", []string{"1", "1.5", "-0"}, true},
		{"text", []string{"", " ", "a", "a ", "B", "b", "aa", "Ä", "ä", "z", "日本", "😀", "\uFFFF", "\uD7FF", "\uE000", "a\nb", "a\x01", "a\"b\\c", "\t\x01\x7f", "</script>", "\u2028"}, true},
		{"varchar", []string{"", "a", "a ", "B"}, true},
		{"varchar(5)", []string{"", "a", "abcde"}, true},
		{"name", []string{"", "a", "B", "Ä"}, true},
		{`"char"`, []string{"", "a", "B"}, false},
		{"char(5)", []string{"", "a", "a ", "ab", "B", "a b", "Ä", "a\t"}, true},
		{"bpchar", []string{"", "a", "a  ", "a b"}, true},
		{"uuid", []string{"00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc999c0b4ef8bb6d6bb9bd380a10", "ffffffff-ffff-ffff-ffff-ffffffffffff"}, true},
		{"bytea", []string{`\x`, `\x00`, `\x0000`, `\xff`, `\x7f00`, `\x7e`, `\x` + "00112233445566778899aabbccddeeff"}, true},
		{"date", []string{"2026-03-01", "0001-01-01", "0001-12-31 BC", "0002-02-28 BC", "4714-11-24 BC", "5874897-12-31", "10000-01-01", "infinity", "-infinity", "2000-02-29", "1999-12-31", "2000-01-01"}, true},
		{"timestamp", []string{"2026-03-01 09:00:00", "2026-03-01 09:00:00.1", "2026-03-01 09:00:00.000001", "0044-03-15 12:00:00 BC", "0001-01-01 00:00:00", "0001-12-31 23:59:59.999999 BC",
			"4714-11-24 00:00:00 BC", "294276-12-31 23:59:59.999999", "10000-01-01 00:00:00", "infinity", "-infinity", "1999-12-31 23:59:59.999999"}, true},
		{"timestamptz", []string{"2026-03-01 09:00:00+00", "2026-03-01 10:00:00+01", "2026-03-01 09:00:00.5+00", "2026-03-29 02:30:00 Europe/Berlin", "0044-03-15 12:00:00+00 BC",
			"1883-11-18 12:00:00 America/New_York", "294276-12-31 23:59:59.999999+00", "10000-01-01 00:00:00+00", "infinity", "-infinity"}, true},
		{"time", []string{"00:00:00", "24:00:00", "09:30:00", "09:30:00.5", "09:30:00.000001", "23:59:59.999999"}, true},
		{"timetz", []string{"00:00:00+00", "24:00:00-12", "09:30:00+02", "08:30:00+01", "07:30:00+00", "09:30:00.5-05:30", "09:30:00+15:59:59"}, true},
		{"interval", []string{"0", "1 mon", "30 days", "720 hours", "1 mon -30 days", "-1 mon", "-1 day +23:59:59.999999", "1 year", "360 days", "12 mons", "-0.5 s", "0.000001 s", "-1 mon 30 days -0.000001 s",
			"1 day 24:00:00", "2 days", "178000000 years", "-178000000 years", "2147483647 days", "178000000 years 2147483647 days 500000 hours", "-00:00:30.5", "1 year 2 mons 3 days 04:05:06.789"}, true},
		{"json", []string{`{"a": 1}`, "{\n \"a\" :\t1,\r\n \"b\\\"\\n\": [ 1 , 2 ] }", `"x\ny"`, "\n null"}, false},
		{"jsonb", []string{`1`, `1.0`, `1.00`, `1e0`, `10`, `1e1`, `-0`, `0`, `0.0`, `1e-20`, `{"a": 1, "b": [1.0, 2]}`, `{"b": [1, 2.00], "a": 1.0}`, `{"bb": 1, "a": 2, "": 3}`, `{"h":1,"g":1,"f":1,"ddd":1,"cc":1,"b":1,"a":1,"":1,"zz":1,"é":1,"aaaa":1,"B":1}`, `"1.0"`, `"1.00"`, `"a\"1.0\\"`, `"\u00e4\u0001\n"`,
			`null`, `true`, `[]`, `{}`, `[null]`, `{"1.0": 1}`, `{"1.00": 1}`, `[1, [2.50]]`, `123456789012345678901234567890.10`, `{"a": {"a": "😀\\"}}`}, false},
		{`"Odd Schema"."Mood"`, []string{"sad", "ok", `it's, "fine"`}, false},
		{`"Odd Schema".fruit`, []string{"plum", "apple", "Quince"}, false},
		{`"Odd Schema".positive`, []string{"1", "20", "3"}, true},
		{"public.code", []string{"", "a", "B"}, true},
		{"inet", []string{"10.0.0.1", "10.0.0.1/32", "10.0.0.1/8", "10.0.0.0/8", "::1", "::ffff:10.0.0.1", "::ffff:10.0.0.1/104", "::ffff:a00:1", "::10.0.0.1", "fe80::1/64", "2001:db8::", "0.0.0.0/0"}, false},
		{"cidr", []string{"10.0.0.0/8", "10.0.0.0/32", "2001:db8::/32", "::/0"}, false},
		{"macaddr", []string{"08:00:2b:01:02:03", "08-00-2B-01-02-03", "080000000000"}, false},
		{"macaddr8", []string{"08:00:2b:01:02:03:04:05", "0800.2b01.0203.0405", "ff:00:2b:01:02:03:04:05"}, false},
		{"text[]", []string{`{}`, `{a}`, `{a,b}`, `{b,a}`, `{NULL}`, `{"NULL"}`, `{null,a}`, `{"a,b"}`, `{"a\"b\\c"}`, `{""}`, `{" a "}`, `{{a,b},{c,d}}`, `{{a},{b}}`, `[0:1]={a,b}`, `[1:2]={a,b}`, `{"{}"}`, `{"😀","ä\n"}`}, false},
		{"int4[]", []string{`{}`, `{1,2}`, `{1,NULL}`, `{{1,2},{3,4}}`, `{1,2,3,4}`, `[2:3]={1,2}`}, false},
		{"numeric[]", []string{`{1,1.0}`, `{1.0,1}`, `{1e-20}`, `{NaN}`}, false},
		{"float8[]", []string{`{-0}`, `{0}`, `{NaN}`, `{Infinity,1e-7}`}, false},
		{"char(3)[]", []string{`{a}`, `{"a  "}`, `{ab}`}, false},
		{`"Odd Schema".pair`, []string{"(,)", "(1,)", "(1,2)"}, false},
		{"jsonb[]", []string{`{"{\"a\": 1}"}`, `{"{\"a\": 1.0}"}`, `{NULL}`}, false},
		{"timestamptz[]", []string{`{"2026-03-01 09:00:00+00",infinity}`, `{-infinity}`, `{}`, `{NULL,"2026-03-01 10:00:00+01"}`}, false},
		{"bytea[]", []string{`{"\\x00ff"}`, `{"\\x00","\\xff"}`, `{}`, `{NULL,"\\x"}`}, false},
		{`"Odd Schema".positive[]`, []string{`{1,2}`, `{3}`}, false},
		{`"Odd Schema"."Mood"[]`, []string{`{sad,ok}`, `{"it's, \"fine\""}`}, false},
	}
}
