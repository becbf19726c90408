package bench

import (
	"fmt"
	"math"
	"time"
)

// ingestResult is what row 1 has found.
type ingestResult struct {
	elapsed   time.Duration // of walwire; 0 when changes were lost
	reference time.Duration // of pg_recvlogical: its best
	cpu       time.Duration // of the server process
	memory    int64         // of the server process: its peak over what it had at rest
	delivery  delivery
}

// delivery sums up what came.
type delivery struct {
	received, doubled, faults int
	bytes                     int64
	frames                    int
}

func (d *delivery) add(got *checker, c *client) {
	d.received += got.received
	d.doubled += got.doubled
	d.faults += got.faults
	d.bytes += c.bytes
	d.frames += c.frames
}

// line is row 1, without its number and name.
func (r ingestResult) line(d dataset) string {
	mine, theirs := rate(r.delivery.received, r.elapsed), rate(d.rows, r.reference)
	changes := max(1, r.delivery.received)
	return fmt.Sprintf("queries=%d walwire=%d rows/s pg_recvlogical=%d rows/s %s walwire_cpu=%.1f us/change ratio %.2f",
		d.queries, mine, theirs, r.counts(d), float64(r.cpu.Microseconds())/float64(changes), ratio(mine, theirs))
}

// hugeLine is row 9.
func (r ingestResult) hugeLine(d dataset) string {
	ratio := "-" // of what has not come whole
	if r.elapsed > 0 {
		ratio = fmt.Sprintf("%.2f", r.elapsed.Seconds()/r.reference.Seconds())
	}
	return fmt.Sprintf("rows=%d queries=%d walwire=%.1f s pg_recvlogical=%.1f s memory=%d MB limit=256 MB %s ratio %s",
		d.rows, d.queries, r.elapsed.Seconds(), r.reference.Seconds(), r.memory>>20, r.counts(d), ratio)
}

// counts tells how exact the delivery was.
func (r ingestResult) counts(d dataset) string {
	return fmt.Sprintf("expected=%d received=%d lost=%d doubled=%d bytes/change=%d changes/frame=%.1f", d.shown(), r.delivery.received,
		d.shown()-r.delivery.received, r.delivery.doubled, r.delivery.bytes/int64(max(1, r.delivery.received)), float64(r.delivery.received)/float64(max(1, r.delivery.frames)))
}

// exact fails unless everybody got each of their changes once.
func (r ingestResult) exact(d dataset) error {
	if lost := d.shown() - r.delivery.received; lost != 0 || r.delivery.doubled != 0 || r.delivery.faults != 0 {
		return fmt.Errorf("the delivery is not exact: %d changes lost, %d doubled, %d frames or rows that must not be",
			lost, r.delivery.doubled, r.delivery.faults)
	}
	return nil
}

// rate is per second; 0 for no time.
func rate(n int, took time.Duration) int {
	if took <= 0 {
		return 0
	}
	return int(math.Round(float64(n) / took.Seconds()))
}
