package predicate_test

import (
	"testing"

	"github.com/walwire/walwire/mapping/predicate"
)

// What a check must decide by itself, and what it must leave to Eval.
func TestChecks(t *testing.T) {
	const holds, fails, undecided = predicate.Holds, predicate.Fails, predicate.Undecided
	src := mapSource{"status": "confirmed", "starts_at": "2026-03-01 09:00:00+00", "seats": "4", "price": "45.00", "tags": "{vip}"}
	row := predicate.NewRow(columns())
	row.Reset(src.row())
	for filter, want := range map[string]predicate.Verdict{
		`[["starts_at",">=","2026-03-01T09:00:00Z"],["starts_at","<","2026-03-01T09:12:00Z"]]`: holds,
		`[["status","==","confirmed"]]`:                                                           holds,
		`[["status","in",["confirmed","paid"]]]`:                                                  holds,
		`[["tags","array-contains-any",["vip","new"]]]`:                                           holds,
		`[["status","==","confirmed"],["seats","!=",4]]`:                                          fails,
		`[["status","==","confirmed"],["seats","!=",5]]`:                                          holds,
		`[["status","==","confirmed"],["seats",">",2],["seats","<",5]]`:                           holds,
		`[["status","==","confirmed"],["seats",">",2],["seats","<",4]]`:                           fails,
		`[["status","==","confirmed"],["seats",">",2],["price","<",50]]`:                          undecided,
		`[["status","==","confirmed"],["seats",">",4],["price","<",50]]`:                          fails,
		`[["status","==","confirmed"],["prefs","is-null",true]]`:                                  undecided,
		`[["status","==","confirmed"],["branch_id","!=","a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]]`: fails,
		`[["seats","==",4],["status","!=","confirm"]]`:                                            holds,
		`[["seats","==",4],["status","!=","confirmedly"]]`:                                        undecided,
		`[["seats","==",4],["status","!=","confirmed"]]`:                                          undecided,
		`[["seats","==",4],["status","starts-with","confirm"]]`:                                   undecided,
		`[["status","starts-with","confirm"]]`:                                                    undecided,
		`[{"or":[["status","==","confirmed"],["seats","==",7]]}]`:                                 holds,
		`[["seats",">=",1],{"or":[["seats","<",0],["seats",">",9]]}]`:                             undecided,
		`[["seats",">=",1],["seats","!=",4]]`:                                                     fails,
		`[["status","!=","confirm"]]`:                                                             holds,
	} {
		n := mustWhere(t, filter)
		anchors := n.Anchors(func(column int) float64 { return []float64{1000, 0, 0, 0, 0, 0, 0}[column] })
		checks := n.Checks(anchors)
		for i := range checks {
			admits, err := anchors[i].Admits(row)
			if err != nil {
				t.Fatal(err)
			}
			if got := checks[i].Of(row); admits && got != want {
				t.Errorf("%s: got %d, want %d", filter, got, want)
			}
		}
	}
}

// A value that can't be read is Eval's to refuse.
func TestCheckErrorIsNotFalse(t *testing.T) {
	row := predicate.NewRow(columns())
	row.Reset(mapSource{"seats": "many", "status": "a"}.row())
	n := mustWhere(t, `[["status","==","a"],["seats",">",1]]`)
	if got := n.Checks(n.Anchors(func(column int) float64 { return 1000 }))[0].Of(row); got != predicate.Undecided {
		t.Errorf("got %d", got)
	}
}
