package mapping

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/walwire/walwire/mapping/predicate"
)

// accessTable makes the fixture table with roles r0, r1, ... of these rules and
// columns.
func accessTable(tb testing.TB, roles ...RoleConfig) *Table {
	tb.Helper()
	cfg := mustParse(tb, valid)
	cfg.Tables[0].Roles = nil
	for i, r := range roles {
		r.Name = fmt.Sprintf("r%d", i)
		cfg.Tables[0].Roles = append(cfg.Tables[0].Roles, r)
	}
	return mustCompile(tb, cfg)
}

func roleOf(rule string, columns ...string) RoleConfig {
	return RoleConfig{Rows: Expression{Text: rule}, Columns: ColumnList{Names: columns}}
}

// TestAccessLeaksNoCell tries every configuration of three roles with these rules
// and columns, for every set of roles a user may have: a cell that is shown must
// be allowed by one of the user's roles alone, and who has a role sees something
// of every row that the leading role allows.
func TestAccessLeaksNoCell(t *testing.T) {
	rules := []string{"row.seats == 1", "row.seats == 2", "row.staff_id == user.staff_id"}
	sets := [][]string{{"seats"}, {"status"}, {"seats", "status"}}
	rows := []row{{"id": uuidA, "seats": "1"}, {"id": uuidA, "seats": "2"}, {"id": uuidA, "seats": "3", "staff_id": uuidA}}
	var roles []RoleConfig
	for _, rule := range rules {
		for _, set := range sets {
			roles = append(roles, roleOf(rule, set...))
		}
	}
	compiled := accessTable(t, roles...)
	for _, user := range []map[string]any{{}, {"staff_id": uuidA}} {
		for i := range len(roles) * len(roles) * len(roles) {
			table := *compiled
			table.roles = nil
			for k, pick := range []int{i % 9, i / 9 % 9, i / 81} {
				access := compiled.roles[pick]
				access.role = fmt.Sprintf("r%d", k)
				table.roles = append(table.roles, access)
			}
			for mask := 1; mask < 8; mask++ {
				checkCells(t, &table, mask, user, rows)
			}
		}
	}
}

func checkCells(t *testing.T, table *Table, mask int, user map[string]any, rows []row) {
	t.Helper()
	var mine []string
	for i := range 3 {
		if mask&(1<<i) != 0 {
			mine = append(mine, fmt.Sprintf("r%d", i))
		}
	}
	rule, columns, ok := table.Access(mine, user)
	if !ok {
		t.Fatalf("%v: no access", mine)
	}
	anyRow := false
	for _, r := range rows {
		shown := mustEval(t, rule, r)
		anyRow = anyRow || shown
		for _, column := range columns {
			if shown && !slices.ContainsFunc(mine, func(role string) bool { return allows(t, table, role, user, r, column) }) {
				t.Fatalf("%v: cell %d of %v is shown, no role allows it", mine, column, r)
			}
		}
	}
	for _, role := range mine {
		for _, r := range rows {
			if !anyRow && allows(t, table, role, user, r, table.Key[0]) {
				t.Fatalf("%v: %s allows %v, nothing is shown", mine, role, r)
			}
		}
	}
}

// allows looks at one role alone, by its own rule and columns.
func allows(t *testing.T, table *Table, role string, user map[string]any, r row, column int) bool {
	i := slices.IndexFunc(table.roles, func(a roleAccess) bool { return a.role == role })
	return slices.Contains(table.roles[i].columns, column) && mustEval(t, table.roles[i].rule.Bind(user), r)
}

func TestAccess(t *testing.T) {
	one, two := row{"id": uuidA, "seats": "1"}, row{"id": uuidA, "seats": "2"}
	tests := []struct {
		name     string
		roles    []RoleConfig
		mine     []string
		one, two bool
		columns  []string
	}{
		{"SameColumns", []RoleConfig{roleOf("row.seats == 1", "seats"), roleOf("row.seats == 2", "seats")}, []string{"r1", "r0"}, true, true, []string{"id", "seats"}},
		{"LeaderSeesLess", []RoleConfig{roleOf("row.seats == 1", "seats"), roleOf("row.seats == 2", "seats", "status")}, []string{"r0", "r1"}, true, true, []string{"id", "seats"}},
		{"LeaderSeesMore", []RoleConfig{roleOf("row.seats == 1", "seats", "status"), roleOf("row.seats == 2", "seats")}, []string{"r0", "r1"}, true, false, []string{"id", "status", "seats"}},
		{"LeaderCantHold", []RoleConfig{roleOf("row.staff_id == user.staff_id", "status"), roleOf("row.seats == 2", "seats")}, []string{"r0", "r1"}, false, true, []string{"id", "seats"}},
		{"NoneHolds", []RoleConfig{roleOf("false", "status"), roleOf("user.staff_id == 'x'", "seats")}, []string{"r0", "r1"}, false, false, []string{"id", "status"}},
		{"OneRole", []RoleConfig{roleOf("row.seats == 1", "seats"), roleOf("true", "status")}, []string{"r1", "other"}, true, true, []string{"id", "status"}},
		{"Except", []RoleConfig{{Rows: Expression{Text: "true"}, Columns: ColumnList{All: true, Except: []string{"notes", "price", "extra"}}}}, []string{"r0"}, true, true,
			[]string{"id", "company_id", "staff_id", "status", "seats", "big", "score", "active", "starts_at", "local_at", "day", "tags", "nums", "Due Date"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := accessTable(t, tt.roles...)
			rule, columns, ok := table.Access(tt.mine, nil)
			var names []string
			for _, c := range columns {
				names = append(names, table.Columns[c].Name)
			}
			if !ok || mustEval(t, rule, one) != tt.one || mustEval(t, rule, two) != tt.two || !slices.Equal(names, tt.columns) {
				t.Errorf("ok %v, rows %v %v, columns %q", ok, mustEval(t, rule, one), mustEval(t, rule, two), names)
			}
		})
	}
	t.Run("NoRule", func(t *testing.T) {
		table := accessTable(t, roleOf("true", "seats"))
		for _, mine := range [][]string{nil, {}, {"r1"}, {"R0"}, {""}} {
			if rule, columns, ok := table.Access(mine, nil); ok || rule.Kind != predicate.False || columns != nil {
				t.Errorf("%v: %v %v %v", mine, rule, columns, ok)
			}
		}
	})
	t.Run("ColumnsAreACopy", func(t *testing.T) {
		table := accessTable(t, roleOf("true", "seats"))
		_, columns, _ := table.Access([]string{"r0"}, nil)
		columns[0] = 99
		if _, again, _ := table.Access([]string{"r0"}, nil); again[0] == 99 {
			t.Error("a caller can change what others see")
		}
	})
}

// TestMissingAllowsNoMore holds that a missing attribute never shows a row that some
// value of it would not show.
func TestMissingAllowsNoMore(t *testing.T) {
	parts := []string{
		"row.seats == user.n", "row.seats < user.n", "row.status in user.list", "row.active", "row.staff_id == user.staff_id",
		"user.a in row.tags", "user.flag", "row.notes == null",
	}
	values := map[string][]any{
		"n": {int64(1), int64(3), "x"}, "list": {[]any{}, []any{"open"}, "open"}, "staff_id": {uuidA, uuidB},
		"a": {"x", "q"}, "flag": {true, false, "true"},
	}
	here := row{"id": uuidA, "staff_id": uuidA, "status": "open", "seats": "3", "active": "t", "tags": "{x}"}
	base := map[string]any{"n": int64(3), "list": []any{"open"}, "staff_id": uuidA, "a": "x", "flag": true}
	for _, form := range []string{"%s || %s", "%s && %s", "!(%s && %s)", "!(%s || %s)", "!(!(%s) && %s)", "%s ? %s : false", "!(%s ? %s : true)"} {
		for i := range len(parts) * len(parts) {
			rule := mustRule(t, fmt.Sprintf(form, parts[i%len(parts)], parts[i/len(parts)]))
			for name, choices := range values {
				without, with := maps.Clone(base), maps.Clone(base)
				delete(without, name)
				if !mustEval(t, rule.Bind(without), here) {
					continue
				}
				for _, v := range choices {
					if with[name] = v; !mustEval(t, rule.Bind(with), here) {
						t.Errorf(form+": shown without %s, not with %v", parts[i%len(parts)], parts[i/len(parts)], name, v)
					}
				}
			}
		}
	}
}
