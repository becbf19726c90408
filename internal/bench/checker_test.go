package bench

import (
	"fmt"
	"strings"
	"testing"
)

// frameOf is a data frame with changed rows of these appointments.
func frameOf(section string, appointments ...int) string {
	rows := make([]string, len(appointments))
	for i, n := range appointments {
		rows[i] = fmt.Sprintf(`{"id":"%s","staff_id":"%s","notes":"%s"}`, id(appointmentPrefix, n), staffOf(0), changedNotes)
	}
	return fmt.Sprintf(`{"type":"data","position":"0/1","subscriptions":[{"id":1,"%s":[%s]}]}`, section, strings.Join(rows, ","))
}

// Of 2 companies with 100 queries each, query 0 has the appointments 0, 200, 400 ...
func TestChecker(t *testing.T) {
	good := frameOf("modified", 0, 200)
	for _, test := range []struct {
		name                      string
		frames                    []string
		received, doubled, faults int
	}{
		{"OK", []string{good, frameOf("modified", 400)}, 3, 0, 0},
		{"Continued", []string{strings.TrimSuffix(good, "}") + continued, frameOf("modified", 400)}, 3, 0, 0},
		{"ErrDoubled", []string{good, frameOf("modified", 200, 400)}, 3, 1, 0},
		{"ErrDoubledInOneFrame", []string{frameOf("modified", 0, 0)}, 1, 1, 0},
		{"ErrAnothersRow", []string{frameOf("modified", 0, 1)}, 1, 0, 1},
		{"ErrNoSuchRow", []string{frameOf("modified", 1_000_000)}, 0, 0, 1},
		{"ErrOldValue", []string{strings.Replace(good, changedNotes, "first visit", 1)}, 2, 0, 1},
		{"ErrAdded", []string{frameOf("added", 0)}, 1, 0, 1},
		{"ErrRemovedToo", []string{strings.Replace(good, "]}]}", `],"removed":[{"id":"x"}]}]}`, 1)}, 2, 0, 2},
		{"ErrReset", []string{strings.Replace(good, `"modified"`, `"reset":true,"snapshot":{"rows"`, 1)}, 2, 0, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := newChecker(dataset{rows: 2_000, queries: 200, perCompany: 100}, 0)
			fresh := 0
			for _, f := range test.frames {
				fresh += c.change([]byte(f))
			}
			if fresh != test.received || c.received != test.received || c.doubled != test.doubled || c.faults != test.faults {
				t.Errorf("received %d (%d fresh), doubled %d, faults %d; want %d, %d, %d",
					c.received, fresh, c.doubled, c.faults, test.received, test.doubled, test.faults)
			}
		})
	}
}
