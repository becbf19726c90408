package stream

import (
	"encoding/json"
	"testing"
)

// A query that was read under other rules than those of now, and has waited since, is
// opened under these.
func TestSubscribeAfterReload(t *testing.T) {
	h, c, l := listenerOf(t)
	ss := l.session
	h.tell(false, nil)
	q, err := ss.server.compile(ss.principal.Load(), json.RawMessage(`{"table":"appointments"}`))
	if err != nil {
		t.Fatal(err)
	}
	served := *c.served
	tightened, _ := benchMappingOf(t, `rows: "row.status == 'confirmed'", columns: [status]`)
	served.mapping = tightened
	c.served = &served
	c.hub.memory.most, c.rowBytes = 1, 2 // it is made, and not read
	c.hub.memory.rows.Store(2)
	sub := &subscription{id: 2, session: ss, query: q, read: func() {}}
	c.subscribe(sub)
	if sub.query.mapping != tightened || len(sub.query.columns) != 2 {
		t.Errorf("it shows columns %v", sub.query.columns)
	}
}
