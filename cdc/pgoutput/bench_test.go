package pgoutput_test

import (
	"testing"

	"github.com/jackc/pglogrepl"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// appointment is a row as wide and as long as the reference schema's.
func appointment(status, updated string) []any {
	return []any{
		"3f0b2a52-6a0e-4b53-9c6e-0d1f5a7b9c11", "7c9e6679-7425-40de-944b-e07fc1f90ae7",
		"1b4e28ba-2fa1-11d2-883f-0016d3cca427", "6fa459ea-ee8a-3ca4-894e-db77e160355e",
		"16fd2706-8baf-433b-82eb-8c7fada847da", "haircut", status,
		"2026-03-02 09:30:00+00", "2026-03-02 10:15:00+00", "prefers the chair by the window",
		nil, "45.00", "2026-02-20 14:03:11.482911+00", updated, "t", nil, "3",
	}
}

func appointmentUpdate() []byte {
	return newMessage('U').uint32(16402).
		tuple('O', appointment("confirmed", "2026-02-20 14:03:11.482911+00")...).
		tuple('N', appointment("checked_in", "2026-03-02 09:28:40.100200+00")...).src
}

func BenchmarkUpdate(b *testing.B) {
	src := appointmentUpdate()
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(src)))
		var d pgoutput.Decoder
		for b.Loop() {
			if _, err := d.Decode(src); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decode+clone", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(src)))
		var d pgoutput.Decoder
		var arena pgoutput.Arena
		var ring [1 << 12][2]pgoutput.Tuple // rows are held for a while, as a feed does
		for i := 0; b.Loop(); i++ {
			if _, err := d.Decode(src); err != nil {
				b.Fatal(err)
			}
			ring[i%len(ring)] = [2]pgoutput.Tuple{arena.Clone(d.Update.Old), arena.Clone(d.Update.New)}
		}
		b.ReportMetric(float64(arena.Bytes())/float64(b.N), "row-B/op")
	})
	b.Run("pglogrepl", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(src)))
		var ring [1 << 12]pglogrepl.Message
		for i := 0; b.Loop(); i++ {
			m, err := pglogrepl.Parse(src)
			if err != nil {
				b.Fatal(err)
			}
			ring[i%len(ring)] = m
		}
	})
}

// BenchmarkColumns reads every column of a kept row.
func BenchmarkColumns(b *testing.B) {
	var d pgoutput.Decoder
	if _, err := d.Decode(appointmentUpdate()); err != nil {
		b.Fatal(err)
	}
	t := d.Update.New
	b.ReportAllocs()
	total := 0
	for b.Loop() {
		for i := range t.Len() {
			_, data := t.Column(i)
			total += len(data)
		}
	}
	if total == 0 {
		b.Fatal("no data")
	}
}
