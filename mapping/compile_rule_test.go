package mapping

import (
	"strings"
	"testing"
)

// TestCompileRuleErrors holds the place and words of what a rule's author reads.
// Columns are counted in the rule; the rule starts in column 15 of line 20.
func TestCompileRuleErrors(t *testing.T) {
	const columns = "Due Date, active, big, company_id, day, doubled, extra, id, local_at, notes, nums, price, score, seats, staff_id, starts_at, status, tags"
	tests := []struct {
		name, rule string
		column     int
		want       string
	}{
		{"NoColumn", "row.active && row.staf_id == user.staff_id", 19, `public.visits has no column "staf_id"; did you mean "staff_id"?; its columns: ` + columns},
		{"NoColumnFar", "row.zzz == 1", 5, `public.visits has no column "zzz"; its columns: ` + columns},
		{"NoAttribute", "row.staff_id == user.staf_id", 22, `user has no attribute "staf_id"; did you mean "staff_id"?; map it under user.claims or users. Mapped now: company, id, roles, staff_id`},
		{"NoName", "rows.id == 1", 1, `"rows" is not known: a rule knows ` + "`row` (its columns) and `user` (the attributes mapped under user), and CEL's own functions"},
		{"NoFunction", "now() < row.starts_at", 4, `"now" is not known: a rule knows ` + "`row` (its columns) and `user` (the attributes mapped under user), and CEL's own functions"},
		{"Types", "row.seats == 'x'", 11, "== does not take (int, string): both sides must have one type"},
		{"TypesOrder", "row.active < 3", 12, "< does not take (bool, int): both sides must have one type"},
		{"ConstantUUID", "row.staff_id == 'me'", 17, `column "staff_id": type uuid needs a UUID string such as "6f1c0d0e-3b1a-4a0e-9c1d-2f4b5a6c7d8e", got string "me"`},
		{"ConstantDate", "row.day == timestamp('2026-03-01T00:00:00Z')", 12, `column "day": type date needs a date string such as "2026-03-01", got string "2026-03-01T00:00:00Z"`},
		{"ConstantTime", "row.starts_at > 'noon'", 17, ""},
		{"ConstantList", "row.seats in [1, 99999999999]", 14, ""},
		{"ConstantFails", "row.seats == 1 / 0", 14, "this can't be computed: division by zero"},
		{"NullOrder", "row.price < null", 13, "null equals nothing: test a column with == null or != null"},
		{"NullIn", "row.price in [null]", 14, "a list without nulls is needed behind `in`"},
		{"TwoColumns", "row.status == row.notes", 1, "both sides of == need the row: " + possible},
		{"Arithmetic", "row.active && row.seats + 1 == 2", 15, "only a column itself can be compared, not something computed from it: " + possible},
		{"Function", "row.status.size() == 2", 1, "only a column itself can be compared, not something computed from it: " + possible},
		{"EndsWith", "row.status.endsWith('x')", 1, "endsWith of a row can't be translated: " + possible},
		{"Matches", "row.status.matches('x')", 1, "matches of a row can't be translated: " + possible},
		{"PrefixOfUser", "'x'.startsWith(row.status)", 1, "this use of startsWith can't be asked of a row: " + possible},
		{"Exists", "row.tags.exists(t, t in user.roles)", 1, "this can't be asked of a row: " + possible},
		{"Has", "has(row.notes)", 1, "every row has its columns: write row.notes != null"},
		{"WholeRow", "row == user.staff_id", 1, "only a column itself can be compared, not something computed from it: " + possible},
		{"InRow", "row.seats in [row.seats]", 1, "this use of `in` can't be asked of a row: " + possible},
		{"NotBoolean", "row.seats", 1, "the rule gives int, it must be true or false"},
		{"NotBooleanDyn", "row.price", 1, `column "price" is numeric, not a condition: compare it with a value`},
		{"NotCondition", "1", 1, "the rule gives int, it must be true or false"},
		{"Generated", "row.doubled == 2", 1, `column "doubled" is generated: it is not in the log of changes, so no rule can rest on it; use the columns it is made from`},
		{"JSON", "row.extra == 'x'", 1, `column "extra": type json has no equality: only is-null works on it; use jsonb`},
		{"Contains", "'x' in row.status", 5, "in does not take (string, string): both sides must have one type"},
		{"ArrayOrder", "row.tags < user.roles", 10, ""},
		{"Empty", "  ", 1, "the rule is empty: write true for every row of the company, or remove the role"},
		{"SyntaxEnd", "row.active &&", 14, ""},
		{"SyntaxAssign", "row.seats = 3", 11, ""},
		{"SyntaxAnd", "row.active and true", 12, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, withRule(t, "'"+strings.ReplaceAll(tt.rule, "'", "''")+"'"))
			_, err := Compile(cfg, map[string]TableInfo{"visits": visits()})
			all, ok := err.(Errors)
			if !ok {
				t.Fatalf("it compiled: %v", err)
			}
			got := all[0]
			// One column for the quote; quotes in the rule are doubled in the file.
			before := string([]rune(tt.rule + "     ")[:tt.column-1])
			if want := 15 + 1 + len(before) + strings.Count(before, "'"); got.Line != 20 || got.Column != want {
				t.Errorf("at %d:%d, want 20:%d", got.Line, got.Column, want)
			}
			if tt.want != "" && got.Message != tt.want {
				t.Errorf("got  %s\nwant %s", got.Message, tt.want)
			}
			if got.Path != "tables.visits.roles.staff.rows" || len(all) > 1 {
				t.Errorf("path %q, %d findings:\n%v", got.Path, len(all), err)
			}
		})
	}
}

// TestRulePositions holds that an error points at its place in the file in
// whatever style of YAML the rule is written.
func TestRulePositions(t *testing.T) {
	tests := []struct {
		name, rule   string
		line, column int
	}{
		{"Plain", "row.active && row.nope", 20, 33},
		{"PlainLines", "row.active\n          && row.nope", 21, 18},
		{"Single", "'row.status == ''ä'' && row.nope'", 20, 43},
		{"Double", `"row.status == \"\u00e4\x41\" && row.nope"`, 20, 52},
		{"DoubleLines", "\"row.active &&\\\n          \\ row.nope\"", 21, 17},
		{"Literal", "|\n          row.active\n            && row.nope\n", 22, 20},
		{"LiteralBlank", "|-\n\n          row.active &&\n          row.nope", 23, 15},
		{"Folded", ">-\n          row.status == 'ä'\n          && row.nope", 22, 18},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := mustParse(t, withRule(t, tt.rule))
			_, err := Compile(cfg, map[string]TableInfo{"visits": visits()})
			all, ok := err.(Errors)
			if !ok || len(all) != 1 || !strings.Contains(all[0].Message, `no column "nope"`) {
				t.Fatalf("got: %v", err)
			}
			if all[0].Line != tt.line || all[0].Column != tt.column {
				t.Errorf("at %d:%d, want %d:%d", all[0].Line, all[0].Column, tt.line, tt.column)
			}
		})
	}
}
