package hostile_test

import (
	"testing"
	"time"
)

// undisturbed is how long the honest are measured alone, before the cases and after.
const undisturbed = 4 * time.Second

// TestHostile runs every case on servers that honest clients use meanwhile.
func TestHostile(t *testing.T) {
	s := startSite(t)
	s.measure(alone)
	time.Sleep(undisturbed) // what is awaited here is time
	s.measure(disturbed)
	for _, g := range []struct {
		name  string
		cases []attack
	}{
		{"tokens", tokenCases()},
		{"companies", companyCases()},
		{"columns", columnCases()},
		{"injection", injectionCases()},
		{"sizes", sizeCases()},
		{"connections", connectionCases()},
		{"origins", originCases()},
		{"admin", adminCases()},
		{"events", eventCases()},
	} {
		t.Run(g.name, func(t *testing.T) {
			for _, c := range g.cases {
				t.Run(c.name, func(t *testing.T) { c.try(t, s) })
			}
		})
	}
	s.measure(alone)
	time.Sleep(undisturbed)
	s.finish(t)
}
