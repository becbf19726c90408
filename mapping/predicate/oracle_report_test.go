package predicate_test

import (
	"cmp"
	"maps"
	"slices"
)

// casesLeast is asked of each pair, shareLeast of all cases, in percent.
const (
	casesLeast = 200
	shareLeast = 10.0
)

// pair is an operator, perhaps negated, on a type. The zero value stands for
// trees of them.
type pair struct{ typeName, op string }

// count takes the truth values in the first column.
func (o *oracle) count(p pair, answers [][][]byte) {
	trues := 0
	for _, a := range answers {
		switch string(a[0]) {
		case "t":
			trues++
		case "f":
			o.falses++
		default:
			o.nulls++
		}
	}
	o.cases += len(answers)
	o.trues += trues
	if p == (pair{}) {
		o.trees += len(answers)
		return
	}
	o.perPair[p] += len(answers)
	o.truePerPair[p] += trues
}

// report prints the shares and fails where a pair was not put to the test.
func (o *oracle) report() {
	pairs := slices.SortedFunc(maps.Keys(o.perPair), func(a, b pair) int {
		return cmp.Or(cmp.Compare(o.trueShare(a), o.trueShare(b)), cmp.Compare(a.typeName, b.typeName), cmp.Compare(a.op, b.op))
	})
	least, ops, types := o.cases, map[string]bool{}, map[string]bool{}
	for _, p := range pairs {
		least = min(least, o.perPair[p])
		ops[p.op], types[p.typeName] = true, true
		if o.perPair[p] < casesLeast || o.truePerPair[p] == 0 {
			o.t.Errorf("%s %s: %d cases, %d true: too few to mean anything", p.typeName, p.op, o.perPair[p], o.truePerPair[p])
		}
	}
	for _, op := range allOperators() {
		if !ops[op] || !ops["not "+op] {
			o.t.Errorf("no type has the operator %s, or not its negation", op)
		}
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(o.cases) }
	o.t.Logf("%d cases, %d of them of trees: %.1f %% true, %.1f %% false, %.1f %% null",
		o.cases, o.trees, share(o.trues), share(o.falses), share(o.nulls))
	o.t.Logf("%d pairs of %d types and %d operators with their negations, at least %d cases each", len(pairs), len(types), len(ops)/2, least)
	for _, p := range pairs[:5] {
		o.t.Logf("least often true: %s %s, %.1f %% of %d", p.typeName, p.op, o.trueShare(p), o.perPair[p])
	}
	if share(o.trues) < shareLeast {
		o.t.Errorf("only %.1f %% of the cases are true", share(o.trues))
	}
}

// trueShare is in percent.
func (o *oracle) trueShare(p pair) float64 {
	return 100 * float64(o.truePerPair[p]) / float64(o.perPair[p])
}
