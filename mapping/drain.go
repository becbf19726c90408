package mapping

import (
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Drain says how connections end when the server stops.
type Drain struct {
	Time   time.Duration // until those that are left are cut off
	Spread time.Duration // over which clients are told to come back, so that they don't all at once
}

// DefaultDrain is that of a configuration that names none.
func DefaultDrain() Drain { return Drain{Time: 20 * time.Second, Spread: 5 * time.Second} }

func (d *decoder) drain(n ast.Node, path string, into *Drain) {
	given := false
	d.object(n, path,
		field{"time", "", d.durationField(&into.Time)},
		field{"spread", "", func(n ast.Node, path string) {
			given = true
			d.durationField(&into.Spread)(n, path)
		}},
	)
	if !given {
		into.Spread = min(into.Spread, into.Time)
	}
}

func (v *validator) drain(d Drain) {
	v.between("drain.time", d.Time, 100*time.Millisecond, 10*time.Minute)
	v.between("drain.spread", d.Spread, 0, 10*time.Minute)
	if d.Spread > d.Time {
		v.report("drain.spread", "%s is longer than drain.time, %s: give at most that", d.Spread, d.Time)
	}
}
