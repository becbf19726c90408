package predicate_test

import (
	"strings"
	"testing"

	"github.com/walwire/walwire/mapping/predicate"
)

const calendarDay = `[["branch_id","==","a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],["status","in",["pending","confirmed","checked_in"]],
	["starts_at",">=","2026-03-01T00:00:00Z"]]`

// mapSource is a row by column name; a missing one is NULL.
type mapSource map[string]string

func (m mapSource) row() textRow {
	r := make(textRow, len(columns()))
	for i, c := range columns() {
		if v, ok := m[c.Name]; ok {
			r[i] = []byte(v)
		}
	}
	return r
}

func day() textRow {
	return mapSource{"branch_id": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "status": "confirmed",
		"starts_at": "2026-03-01 09:00:00+00", "tags": `{vip,"a b"}`}.row()
}

func TestEvalErrorIsNotFalse(t *testing.T) {
	row := predicate.NewRow(columns())
	row.Reset(mapSource{"seats": "many", "tags": "{", "status": "a"}.row())
	for _, filter := range []string{`[["seats","==",1]]`, `[["seats","!=",1]]`, `[["tags","array-contains","a"]]`,
		`[["tags","==",["a"]]]`,
		`[{"or":[["seats","==",1],["status","==","a"]]}]`, `[["status","==","a"],["seats","==",1]]`} {
		ok, err := mustWhere(t, filter).Eval(row)
		if ok || err == nil || !strings.Contains(err.Error(), `column "`) {
			t.Errorf("%s: got %v, %v; want an error that names the column", filter, ok, err)
		}
	}
}

// TestRowIsReadAfresh: nothing of a row is taken for the next one's.
func TestRowIsReadAfresh(t *testing.T) {
	row := predicate.NewRow(columns())
	status, tags := mustWhere(t, `[["status","==","a"]]`), mustWhere(t, `[["tags","array-contains","x"]]`)
	check := func(src mapSource, wantStatus, wantTags bool) {
		t.Helper()
		row.Reset(src.row())
		gotStatus, err1 := status.Eval(row)
		gotTags, err2 := tags.Eval(row)
		if gotStatus != wantStatus || gotTags != wantTags || err1 != nil || err2 != nil {
			t.Errorf("%v: got %v %v, %v %v", src, gotStatus, err1, gotTags, err2)
		}
	}
	check(mapSource{"status": "a", "tags": "{x}"}, true, true)
	check(mapSource{"status": "b", "tags": "{y}"}, false, false)
	check(mapSource{}, false, false)
	check(mapSource{"status": "a", "tags": "{y,x}"}, true, true)
	check(mapSource{"status": "a", "tags": "{}"}, true, false)
}

func TestNegate(t *testing.T) {
	row := predicate.NewRow(columns())
	row.Reset(mapSource{"status": "a"}.row())
	n := mustWhere(t, `[["seats","==",1]]`)
	for _, p := range []*predicate.Node{n, predicate.Negate(n)} {
		if ok, err := p.Eval(row); ok || err != nil {
			t.Errorf("a NULL column: got %v, %v on one of both sides", ok, err)
		}
	}
	if k := predicate.Negate(predicate.All()).Kind; k != predicate.False {
		t.Errorf("not true: kind %d", k)
	}
	if k := predicate.Any().Kind; k != predicate.False {
		t.Errorf("any of nothing: kind %d", k)
	}
	if got := predicate.Any(n, predicate.Always()); got.Kind != predicate.True {
		t.Errorf("or true: kind %d", got.Kind)
	}
}

func TestEvalAllocations(t *testing.T) {
	n := mustWhere(t, calendarDay[:len(calendarDay)-1]+`,["tags","array-contains","vip"]]`)
	row := predicate.NewRow(columns())
	var src predicate.Source = day()
	allocations := testing.AllocsPerRun(100, func() {
		row.Reset(src)
		if ok, err := n.Eval(row); !ok || err != nil {
			t.Fatal(ok, err)
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

// BenchmarkEval3Leaves is a calendar's filter on a fresh row each time.
func BenchmarkEval3Leaves(b *testing.B) {
	n := mustWhere(b, calendarDay)
	row := predicate.NewRow(columns())
	var src predicate.Source = day()
	b.ReportAllocs()
	for b.Loop() {
		row.Reset(src)
		if ok, err := n.Eval(row); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
