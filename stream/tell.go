package stream

import (
	"slices"
	"time"
)

func (s *session) sendData(cut *cut) bool {
	e := cut.alone()
	often := e != nil && e.tellings.Add(1) > fewTellings
	if often {
		if t := s.company.retold.Load(); t.is(cut) {
			return s.sent(cut, s.send(t.frame))
		}
	}
	buf := s.server.buffers.Get().(*[]byte)
	f := frames{buf: (*buf)[:0], maxBytes: s.server.options.DataFrameBytes, position: cut.position, time: cut.time, cursor: cut.cursor, turn: s}
	sent := true
	parts := 0
	f.emit = func(frame []byte) error {
		parts++
		if sent = s.send(frame); !sent {
			return errClosed
		}
		return nil
	}
	if s.server.options.Unmerged {
		cut.updates = f.apart(cut.updates)
	}
	if err := f.write(cut.updates); err != nil && sent { // the company has ended: not all has been told
		s.close(CloseStopping, "the server stops: connect again")
		sent = false
	}
	if often && parts == 1 {
		s.company.retold.Store(&retold{entry: e, id: cut.updates[0].id, cursor: cut.cursor, frame: slices.Clone(f.buf)})
	}
	*buf = f.buf
	if cap(f.buf) <= maxPooledBuffer {
		s.server.buffers.Put(buf)
	}
	return s.sent(cut, sent)
}

// sent notes how long a commit has taken to get here.
func (s *session) sent(cut *cut, ok bool) bool {
	if ok && cut.time != 0 && cut.changed() {
		s.server.hub.Metrics.Latency.Observe(time.Since(postgresEpoch.Add(time.Duration(cut.time) * time.Microsecond)).Seconds())
	}
	return ok
}

// retold is the last frame that many of a company's clients were told alike: one commit of one
// live query.
type retold struct {
	entry  *entry
	id     uint64
	cursor string
	frame  []byte
}

// fewTellings is how often a commit is told before its frame is worth keeping.
const fewTellings = 4

func (t *retold) is(cut *cut) bool {
	u := &cut.updates[0]
	return t != nil && t.entry == u.entries[0] && t.id == u.id && t.cursor == cut.cursor
}

// alone gives the entry that is all there is to say, nil where there is more.
func (c *cut) alone() *entry {
	if len(c.updates) != 1 {
		return nil
	}
	if u := &c.updates[0]; len(u.entries) == 1 && !u.snapshot && !u.reset && !u.resumed && !u.loading && u.names == nil && u.pull == nil {
		return u.entries[0]
	}
	return nil
}
