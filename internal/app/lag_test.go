package app

import (
	"testing"
	"time"

	"github.com/walwire/walwire/cdc"
)

func TestLag(t *testing.T) {
	var l lag
	begun := time.Now()
	at := func(seconds int) time.Time { return begun.Add(time.Duration(seconds) * time.Second) }
	want := func(read cdc.LSN, now, seconds int) {
		t.Helper()
		if got := l.behind(read, at(now)); got != time.Duration(seconds)*time.Second {
			t.Errorf("behind by %s at %d, want %d s", got, now, seconds)
		}
	}
	want(0, 0, 0)
	l.written(100, at(0))
	l.written(100, at(5)) // idle
	l.written(200, at(10))
	want(50, 12, 12)
	want(100, 12, 2)
	want(200, 12, 0)
	l.written(300, at(20))
	l.forget()
	want(0, 30, 0)
	for i := range 10 * maxMarks {
		l.written(cdc.LSN(1000+i), at(i))
	}
	if len(l.marks) > maxMarks {
		t.Errorf("%d marks", len(l.marks))
	}
	want(0, 10*maxMarks, 10*maxMarks)
	want(cdc.LSN(1000+10*maxMarks-1), 10*maxMarks, 0)
}
