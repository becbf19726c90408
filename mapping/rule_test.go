package mapping

import (
	"encoding/json"
	"testing"
)

const (
	uuidA = "11111111-1111-1111-1111-111111111111"
	uuidB = "22222222-2222-2222-2222-222222222222"
)

func TestRuleBind(t *testing.T) {
	user := map[string]any{
		"id": "42", "company": "c1", "roles": []string{"staff", "desk"}, "staff_id": uuidA,
		"a": "x", "n": int64(3), "flag": true, "list": []any{"x", "y"}, "when": "2026-03-01T09:00:00Z",
	}
	here := row{
		"id": uuidB, "staff_id": uuidA, "status": "open", "seats": "3", "big": "42", "price": "12.50", "score": "1.5",
		"active": "t", "starts_at": "2026-03-01 09:00:00+00", "local_at": "2026-03-01 09:00:00", "day": "2026-03-01",
		"tags": "{x,z}", "nums": "{1,2}", "Due Date": "2026-03-02",
	}
	tests := []struct {
		rule string
		want bool
	}{
		{"true", true}, {"false", false}, {"!false", true},
		{"row.staff_id == user.staff_id", true}, {"user.staff_id == row.staff_id", true}, {"row.staff_id != user.staff_id", false},
		{"row.staff_id == '" + uuidA + "'", true}, {"row.status == 'open'", true}, {"!(row.status == 'open')", false},
		{"row.status < 'z'", true}, {"'z' < row.status", false}, {"'z' > row.status", true}, {"row.status >= 'open'", true},
		{"row.seats == 3", true}, {"row.seats <= user.n", true}, {"user.n < row.seats", false},
		{"row.big == user.id", true}, {"row.seats == user.id", false}, {"row.seats == user.n", true},
		{"row.price == 12.5", true}, {"row.price > 12", true}, {"row.price < 12.6", true}, {"row.price == '12.50'", true},
		{"row.score > 1.0", true}, {"row.score < 2", true},
		{"row.active", true}, {"!row.active", false}, {"row.active == true", true}, {"row.active != user.flag", false},
		{"row.starts_at >= timestamp('2026-03-01T09:00:00Z')", true}, {"row.starts_at > timestamp('2026-03-01T09:00:00Z')", false},
		{"row.starts_at == '2026-03-01T10:00:00+01:00'", true}, {"row.starts_at == user.when", true},
		{"row.starts_at < timestamp(user.when) + duration('1h')", true},
		{"row.local_at == timestamp('2026-03-01T09:00:00Z')", true}, {"row.day == '2026-03-01'", true}, {"row.`Due Date` > '2026-03-01'", true},
		{"row.status in ['open', 'held']", true}, {"!(row.status in ['open'])", false}, {"row.status in []", false}, {"!(row.status in [])", true},
		{"row.status in user.list", false}, {"!(row.status in user.list)", true}, {"row.seats in [1, 3]", true},
		{"'x' in row.tags", true}, {"user.a in row.tags", true}, {"!(user.a in row.tags)", false}, {"2 in row.nums", true}, {"9 in row.nums", false},
		{"row.status.startsWith('op')", true}, {"!row.status.startsWith('op')", false}, {"row.status.startsWith(user.a)", false},
		{"row.notes == null", true}, {"row.notes != null", false}, {"null == row.notes", true}, {"!(row.notes == null)", false}, {"row.tags != null", true},
		{"row.notes == 'x'", false}, {"row.notes != 'x'", false}, {"!(row.notes == 'x')", false}, {"!(row.notes in [])", false},
		{"'staff' in user.roles", true}, {"!('staff' in user.roles)", false}, {"'boss' in user.roles || row.active", true},
		{"user.roles.exists(r, r == 'desk') && row.active", true}, {"user.list.size() == 2 && row.active", true},
		{"user.flag ? row.seats == 3 : row.seats == 4", true}, {"!user.flag ? row.seats == 3 : row.seats == 4", false},
		{"row.seats == 3 ? row.active : false", true}, {"row.notes == 'x' ? true : true", false}, {"!(row.seats == 3 ? row.active : false)", false},
		{"row.seats == (user.flag ? 3 : 4)", true}, {"has(user.flag) && row.active", true}, {"has(user.b) || row.active", true},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if got := mustEval(t, mustRule(t, tt.rule).Bind(user), here); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

// TestRuleBindMissing holds that what is missing, or of the wrong type, makes
// its comparison false, negated or not.
func TestRuleBindMissing(t *testing.T) {
	here := row{"id": uuidB, "staff_id": uuidA, "status": "open", "seats": "3", "active": "t", "tags": "{x}"}
	comparisons := []string{
		"row.staff_id == user.staff_id", "row.staff_id != user.staff_id", "row.seats < user.n", "row.seats >= user.n",
		"row.status in user.list", "user.a in row.tags", "row.status.startsWith(user.a)", "row.active == user.flag",
		"row.seats == user.n + 1", "row.status in [user.a, 'open']", "user.flag", "row.status == user.list[5]",
	}
	users := map[string]map[string]any{
		"Nil":   nil,
		"Empty": {},
		"Null":  {"staff_id": nil, "n": nil, "list": nil, "a": nil, "flag": nil},
		"WrongType": {
			"staff_id": "not a uuid", "n": []any{"x"}, "list": "open", "a": map[string]any{}, "flag": "true",
		},
		"Strange": {
			"staff_id": "\x00", "n": json.Number("1e999"), "list": []any{nil, "open"}, "a": struct{}{}, "flag": make(chan int),
		},
	}
	for name, user := range users {
		t.Run(name, func(t *testing.T) {
			for _, comparison := range comparisons {
				for _, rule := range []string{comparison, "!(" + comparison + ")", "!!(" + comparison + ")", "!(" + comparison + " || false)"} {
					if mustEval(t, mustRule(t, rule).Bind(user), here) {
						t.Errorf("%s shows the row", rule)
					}
				}
				if !mustEval(t, mustRule(t, "("+comparison+") || row.active").Bind(user), here) {
					t.Errorf("%s spoils the other branch", comparison)
				}
			}
		})
	}
}

// TestRuleBindUserOnly holds that a comparison of the user alone is CEL's: false
// both ways where the attribute is missing, but a value of another type is there
// and differs.
func TestRuleBindUserOnly(t *testing.T) {
	rule, negated := mustRule(t, "user.n == 3"), mustRule(t, "!(user.n == 3)")
	for _, tt := range []struct {
		user          map[string]any
		want, wantNot bool
	}{
		{nil, false, false},
		{map[string]any{"n": nil}, false, false},
		{map[string]any{"n": json.Number("3")}, true, false},
		{map[string]any{"n": 3.0}, true, false},
		{map[string]any{"n": int64(4)}, false, true},
		{map[string]any{"n": "3"}, false, true},
	} {
		if got := mustEval(t, rule.Bind(tt.user), row{}); got != tt.want {
			t.Errorf("%v: %v", tt.user, got)
		}
		if got := mustEval(t, negated.Bind(tt.user), row{}); got != tt.wantNot {
			t.Errorf("%v, negated: %v", tt.user, got)
		}
	}
}

// TestRuleBindNullAttribute holds that a null attribute is no null test.
func TestRuleBindNullAttribute(t *testing.T) {
	for _, rule := range []string{"row.notes == user.a", "row.notes == (user.flag ? null : user.a)", "row.notes in user.list"} {
		user := map[string]any{"a": nil, "flag": true, "list": []any{nil}}
		if mustEval(t, mustRule(t, rule).Bind(user), row{"id": uuidA}) {
			t.Errorf("%s shows a row whose notes are NULL", rule)
		}
	}
}
