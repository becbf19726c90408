package mapping

import (
	"slices"
	"strconv"
	"strings"
)

// DidYouMean gives the known name nearest to name as a hint behind a message, else all that
// are known.
func DidYouMean(name string, known []string) string {
	if hint := didYouMean(name, known); hint != "" {
		return hint
	}
	return "; there are " + listOf(known)
}

// didYouMean gives `; did you mean "x"?` for the known name nearest to name, or
// "" when none is near.
func didYouMean(name string, known []string) string {
	best, distance := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + strconv.Quote(best) + "?"
}

// listOf gives the names sorted and separated by commas, at most twenty.
func listOf(names []string) string {
	sorted := slices.Sorted(slices.Values(names))
	if len(sorted) > 20 {
		return strings.Join(sorted[:20], ", ") + ", ..."
	}
	return strings.Join(sorted, ", ")
}

// editDistance counts insertions, deletions, replacements and swaps of neighbours.
func editDistance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, previous, current := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := 1; i <= len(x); i++ {
		current[0] = i
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			current[j] = min(previous[j]+1, current[j-1]+1, previous[j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				current[j] = min(current[j], before[j-2]+1)
			}
		}
		before, previous, current = previous, current, before
	}
	return previous[len(y)]
}
