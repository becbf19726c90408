package mapping

import (
	"slices"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping/predicate"
)

func TestCompileErrors(t *testing.T) {
	const row = "users:\n    - table: visits\n      match: {staff_id: id}\n      attributes: {desk: seats}\ntables:\n"
	withRow := func(old, new string) string { return strings.Replace(row, old, new, 1) }
	tests := []struct{ name, old, new, want string }{
		{"Company", "visits\n    company: company_id", "visits\n    company: company", `17:14: tables.visits.company: public.visits has no column "company"; ` + companyHint},
		{"CompanyNear", "visits\n    company: company_id", "visits\n    company: compani_id", `17:14: tables.visits.company: public.visits has no column "compani_id"; did you mean "company_id"?; ` + companyHint},
		{"CompanyType", "visits\n    company: company_id", "visits\n    company: price", `17:14: tables.visits.company: column "price" is numeric: a company column is smallint, integer, bigint, uuid, text or varchar`},
		{"CompanyGenerated", "visits\n    company: company_id", "visits\n    company: doubled", `17:14: tables.visits.company: column "doubled" is generated: it is not in the log of changes; name a stored column`},
		{"Column", "[id, status]", "[id, stats]", `21:23: tables.visits.roles.staff.columns[1]: public.visits has no column "stats"; did you mean "status"?`},
		{"ColumnGenerated", "[id, status]", "[id, doubled]", `21:23: tables.visits.roles.staff.columns[1]: column "doubled" is generated: it is not in the log of changes; leave it out`},
		{"Except", "[id, status]", "{except: [statu]}", `21:28: tables.visits.roles.staff.columns.except[0]: public.visits has no column "statu"; did you mean "status"?`},
		{"ExceptKey", "[id, status]", "{except: [id]}", `21:28: tables.visits.roles.staff.columns.except[0]: column "id" is in the key, which every role sees: leave it out of the exceptions, or remove the role`},
		{"RowMatch", "tables:\n", withRow("staff_id:", "staf_id:"), `16:24: users[0].match.staf_id: public.visits has no column "staf_id"; did you mean "staff_id"?`},
		{"RowMatchType", "tables:\n", withRow("staff_id:", "extra:"), `16:22: users[0].match.extra: column "extra": type json has no equality: only is-null works on it; use jsonb`},
		{"RowAttribute", "tables:\n", withRow("seats", "seat"), `17:26: users[0].attributes.desk: public.visits has no column "seat"; did you mean "seats"?`},
		{"RowAttributeGenerated", "tables:\n", withRow("seats", "doubled"), `17:26: users[0].attributes.desk: column "doubled" is generated: it is not in the log of changes; name a stored column`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Compile(mustParse(t, replaced(t, valid, tt.old, tt.new)), map[string]TableInfo{"visits": visits()})
			if err == nil || err.Error() != "walwire.yaml:"+tt.want {
				t.Errorf("got\n%v\nwant\nwalwire.yaml:%s", err, tt.want)
			}
		})
	}
	t.Run("NoTable", func(t *testing.T) {
		_, err := Compile(mustParse(t, valid), nil)
		if want := "walwire.yaml:16:12: tables.visits.table: table public.visits was not found in the database"; err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	})
	t.Run("NoKey", func(t *testing.T) {
		info := visits()
		info.Key = nil
		_, err := Compile(mustParse(t, valid), map[string]TableInfo{"visits": info})
		if err == nil || !strings.Contains(err.Error(), "16:12: tables.visits.table: public.visits has no key that names a row") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("KeyWithoutComparison", func(t *testing.T) {
		info := visits()
		info.Columns[info.Key[0]].Type = &pgvalue.Type{Name: "ltree"}
		_, err := Compile(mustParse(t, valid), map[string]TableInfo{"visits": info})
		if err == nil || !strings.Contains(err.Error(), `16:12: tables.visits.table: the key of public.visits has column "id": type ltree has no comparison here`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("NoColumns", func(t *testing.T) {
		if _, err := Compile(mustParse(t, valid), map[string]TableInfo{"visits": {Key: []int{0}}}); err == nil {
			t.Error("it compiled")
		}
	})
}

func TestCompileErrorsTogether(t *testing.T) {
	text := replaced(t, withRule(t, "row.nope == 1 || row.nada == 2"), "[id, status]", "[nix]")
	_, err := Compile(mustParse(t, text), map[string]TableInfo{"visits": visits()})
	if all, ok := err.(Errors); !ok || len(all) != 3 {
		t.Errorf("want three findings, got\n%v", err)
	}
}

// TestUserRow holds the types of attributes that come from a row, in rules and
// in values.
func TestUserRow(t *testing.T) {
	text := replaced(t, valid, "tables:\n", `users:
    - table: visits
      match: {staff_id: staff_id, company_id: company}
      attributes: {seats: seats, big: big, price: price, active: active, nums: nums, score: score, note: notes, at: starts_at}
tables:
`)
	compiled := func(rule string) (*Mapping, error) {
		return Compile(mustParse(t, replaced(t, text, "row.staff_id == user.staff_id", rule)), map[string]TableInfo{"visits": visits()})
	}
	m, err := compiled("true")
	if err != nil {
		t.Fatal(err)
	}
	lookup := m.UserRows()[0]
	user := map[string]any{"id": "u", "company": uuidB, "staff_id": uuidA}
	here := row{"staff_id": uuidA, "company_id": uuidB, "seats": "3", "big": "9007199254740993", "price": "1.50", "active": "t",
		"nums": "{1,3}", "score": "NaN", "starts_at": "2026-03-01 09:00:00+00"}
	if !mustEval(t, lookup.Predicate(user), here) || mustEval(t, lookup.Predicate(user), row{"staff_id": uuidA}) {
		t.Error("the predicate finds another row")
	}
	if n := lookup.Predicate(map[string]any{"company": uuidB}); n.Kind != predicate.False {
		t.Errorf("without the attribute: %v", n)
	}
	found, err := lookup.Attributes(here)
	if err != nil {
		t.Fatal(err)
	}
	if found["big"] != int64(9007199254740993) || found["seats"] != int64(3) || found["price"] != "1.50" || found["active"] != true ||
		found["note"] != nil || found["at"] != "2026-03-01T09:00:00.000000Z" {
		t.Errorf("attributes: %#v", found)
	}
	if _, ok := found["note"]; !ok {
		t.Error("a NULL must be there, to win over a claim")
	}
	for rule, want := range map[string]string{
		"row.seats == user.seats": "", "row.big == user.big": "", "row.price <= user.price": "", "user.seats in row.nums": "",
		"row.seats in user.nums": "", "user.active && row.active": "", "row.starts_at == user.at": "",
		"row.status == user.seats":  "does not take (string, int)",
		"row.active == user.price":  "does not take (bool, string)",
		"user.active == user.seats": "does not take (bool, int)",
	} {
		m, err := compiled(rule)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rule, err)
		}
		if err == nil {
			table, _ := m.Table("visits")
			if shown, _, _ := table.Access([]string{"staff"}, found); !mustEval(t, shown, here) {
				t.Errorf("%s: the row is not shown", rule)
			}
		}
	}
}

func TestCompanyNode(t *testing.T) {
	types := testTypes()
	types["int2"] = &pgvalue.Type{OID: 21, Base: 21, Name: "smallint", Kind: pgvalue.KindInt}
	for _, tt := range []struct {
		kind, company, text string
		ok                  bool
	}{
		{"uuid", uuidA, uuidA, true}, {"uuid", strings.ToUpper("abcdef00-0000-0000-0000-000000000000"), "abcdef00-0000-0000-0000-000000000000", true},
		{"uuid", "x", "", false}, {"int", "42", "42", true}, {"int", "042", "", false}, {"int", "99999999999", "", false}, {"int2", "70000", "", false},
		{"int8", "9007199254740993", "9007199254740993", true}, {"int8", "1e3", "", false}, {"text", "Ä b", "Ä b", true}, {"text", "a\x00", "", false},
	} {
		table := &Table{Columns: []predicate.Column{{Name: "id", Type: types["uuid"]}, {Name: "c", Type: types[tt.kind]}}, Company: 1}
		n, err := table.CompanyNode(tt.company)
		if (err == nil) != tt.ok {
			t.Errorf("%s %q: %v", tt.kind, tt.company, err)
			continue
		}
		if tt.ok && (n.Kind != predicate.Leaf || n.Op != predicate.Eq || n.Column != 1 || n.Params[0].Text != tt.text) {
			t.Errorf("%s %q: %+v", tt.kind, tt.company, n)
		}
	}
}

func TestMappingTables(t *testing.T) {
	m, err := Compile(mustParse(t, valid), map[string]TableInfo{"visits": visits()})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Table("Visits"); ok {
		t.Error("public names are matched as they stand")
	}
	if !slices.Equal(m.Tables()[0].Key, []int{0}) || m.Tables()[0].Company != 1 {
		t.Errorf("table: %+v", m.Tables()[0])
	}
}
