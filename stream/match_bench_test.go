package stream

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/mapping/predicate"
)

const (
	// matchRows are so many that their places in a large index are not in a cache.
	matchRows = 1 << 16
	// matchBatch are rows that have just been decoded.
	matchBatch = 64
)

// BenchmarkMatch finds the live queries that show a row, about ten of so many distinct
// ones of one company: a third ask for a range of time alone, the rest for ==, in, or
// and not.
func BenchmarkMatch(b *testing.B) {
	s := benchTable(b)
	for _, n := range []int{1_000, 10_000, 100_000, 1_000_000} {
		var ix *index[*view]
		var rows []row
		b.Run(fmt.Sprintf("queries=%d", n), func(b *testing.B) {
			if ix == nil { // not for those that are not asked for
				ix, rows = matchData(b, s, n)
				b.ResetTimer()
			}
			eval := predicate.NewRow(s.columns)
			var found []*view
			matched := 0
			b.ReportAllocs()
			spent := time.Duration(0)
			for done := 0; done < b.N; {
				batch := rows[done%len(rows):][:min(matchBatch, b.N-done)]
				decoded(batch, len(s.columns))
				since := time.Now()
				for i := range batch {
					eval.Reset(&batch[i])
					var err error
					if found, err = ix.match(eval, found[:0]); err != nil {
						b.Fatal(err)
					}
					matched += len(found)
				}
				spent += time.Since(since)
				done += len(batch)
			}
			b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/op")
			b.ReportMetric(float64(matched)/float64(b.N), "matches/op")
		})
	}
}

// matchData are n live queries and the rows that change.
func matchData(b *testing.B, s *shape, n int) (ix *index[*view], rows []row) {
	resolve := func(name string) (int, predicate.Column, error) {
		for i, c := range s.columns {
			if c.Name == name {
				return i, c, nil
			}
		}
		return 0, predicate.Column{}, fmt.Errorf("no column %s", name)
	}
	rel := benchRelation(s)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	third := n / 3
	minutes := 4 * third // of which each range takes 12: three ranges hold a moment
	at := func(minute int) string { return begin.Add(time.Duration(minute) * time.Minute).Format(time.RFC3339) }
	ix = new(index[*view])
	random := rand.New(rand.NewPCG(1, uint64(n)))
	staff := func() string { return uuid(random.IntN(max(third/3, 1))) }
	for _, i := range random.Perm(n) {
		var where string
		switch {
		case i < third:
			where = fmt.Sprintf(`["starts_at",">=",%q],["starts_at","<",%q]`, at(4*i), at(4*i+12))
		case i%4 == 0:
			where = fmt.Sprintf(`["staff_id","==",%q],["starts_at",">=",%q]`, staff(), at(-i))
		case i%4 == 1:
			where = fmt.Sprintf(`["staff_id","in",[%q,%q]],{"not":["status","==","s%d"]}`, staff(), staff(), i)
		case i%4 == 2:
			where = fmt.Sprintf(`{"or":[["staff_id","==",%q],["client_id","==",%q]]}`, staff(), uuid(i))
		default:
			where = fmt.Sprintf(`["staff_id","==",%q],["notes","!=","n%d"]`, staff(), i)
		}
		node, err := predicate.ParseWhere(json.RawMessage("["+where+"]"), resolve, predicate.DefaultLimits())
		if err != nil {
			b.Fatal(err)
		}
		ix.add(&view{predicate: node, anchors: node.Anchors(s.distinct)})
	}
	arena := new(pgoutput.Arena)
	rows = make([]row, matchRows)
	for i := range rows {
		var values [][]byte
		for _, v := range []string{uuid(i), benchCompany, uuid(7), uuid(random.IntN(n)), staff(), "haircut", "confirmed",
			begin.Add(time.Duration(random.IntN(minutes)) * time.Minute).Format("2006-01-02 15:04:05+00"), "2026-03-01 10:00:00+00", "notes", "internal", "45.00", "2026-02-01 09:00:00+00", "2026-02-01 09:00:00+00"} {
			values = append(values, []byte(v))
		}
		rows[i] = row{binding: bind(s, rel), tuple: arena.Row(values)}
	}
	runtime.GC() // what was made is not looked through while it is measured
	return ix, rows
}

// decoded brings rows to where the decoder, which makes them right before, leaves them: into
// the cache. That is not measured.
func decoded(rows []row, columns int) (sum int) {
	for i := range rows {
		for c := range columns {
			text, _ := rows[i].Column(c)
			for _, octet := range text {
				sum += int(octet)
			}
		}
	}
	return sum
}
