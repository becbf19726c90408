package predicate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/walwire/walwire/mapping/predicate"
)

// show prints anchors with the columns' names; keys of text as they are.
func show(anchors []predicate.Anchor) string {
	var out []string
	for _, a := range anchors {
		name := columns()[a.Column].Name
		switch a.Kind {
		case predicate.AnchorEqual:
			out = append(out, name+"="+a.Key)
		case predicate.AnchorContains:
			out = append(out, name+"@"+a.Key)
		case predicate.AnchorRange:
			out = append(out, fmt.Sprintf("%s:%s", name, showRange(a.Range)))
		default:
			out = append(out, "scan")
		}
	}
	return strings.Join(out, " ")
}

func showRange(r predicate.Range) string {
	low, high := "(", ")"
	if r.HasLo {
		low = map[bool]string{true: "[", false: "("}[r.LoIncl] + r.Lo
	}
	if r.HasHi {
		high = r.Hi + map[bool]string{true: "]", false: ")"}[r.HiIncl]
	}
	return low + ".." + high
}

func TestAnchors(t *testing.T) {
	const id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
	distinct := func(column int) float64 { return []float64{7, 500, 0, 0, 0, 0, 0}[column] }
	for _, c := range []struct{ filter, want string }{
		{`[]`, `scan`},
		{`[["status","in",[]]]`, ``},
		{`[["status","==","a"]]`, `status=a`},
		{`[["status","!=","a"]]`, `scan`},
		{`[["status","is-null",true]]`, `scan`},
		{`[["status","in",["b","a"]]]`, `status=a status=b`},
		{`[["status","==","a"],["branch_id","==","` + id + `"]]`, `branch_id=` + id},
		{`[["branch_id","==","` + id + `"],["status","==","a"]]`, `branch_id=` + id},
		{`[["status","in",["a","b"]],["status","==","c"]]`, `status=c`},
		{`[["tags","array-contains","x"],["status",">","a"]]`, `tags@x`},
		{`[["tags","array-contains-any",["x","y"]]]`, `tags@x tags@y`},
		{`[["tags","array-contains","x"],["status","==","a"]]`, `status=a`},
		{`[["status",">","a"]]`, `status:(a..)`},
		{`[["status",">","a"],["status","<=","c"],["status",">=","b"]]`, `status:[b..c]`},
		{`[["status",">","c"],["status","<","a"]]`, ``},
		{`[["status",">","a"],["status","<=","a"]]`, ``},
		{`[["status","<","c"],["status","<=","c"],["status",">","a"],["status",">=","a"]]`, `status:(a..c)`},
		{`[["status","<=","c"],["status","<","c"],["status",">=","a"],["status",">","a"]]`, `status:(a..c)`},
		{`[["status",">=","a"],["status","<=","a"]]`, `status:[a..a]`},
		{`[["status","starts-with","co"],["status","<","con"]]`, `status:[co..con)`},
		{`[["status","starts-with",""]]`, `status:[..)`},
		{`[{"or":[["status","==","a"],["tags","array-contains","x"]]}]`, `status=a tags@x`},
		{`[{"or":[["status","==","a"],["status","!=","b"]]}]`, `scan`},
		{`[{"or":[["status","==","a"],["status","==","a"]]}]`, `status=a`},
		{`[{"or":[["status","==","a"],["status","!=","b"]]},["status",">","a"]]`, `status:(a..)`},
		{`[{"or":[{"and":[["status","==","a"],["seats","!=",1]]},["status","==","b"]]}]`, `status=a status=b`},
	} {
		if got := show(mustWhere(t, c.filter).Anchors(distinct)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.filter, got, c.want)
		}
	}
}
