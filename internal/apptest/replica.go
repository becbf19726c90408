package apptest

import (
	"encoding/json"
	"fmt"
)

// Replica is what a client makes of the frames it is sent: the rows of its live
// queries. It knows nothing of connections. A frame that breaks the protocol is
// an error. For one goroutine.
type Replica struct {
	queries map[int]*Query
	partial *Frame // its continuation is still to come
}

// NewReplica makes a replica without live queries.
func NewReplica() *Replica { return &Replica{queries: make(map[int]*Query)} }

// Query is a live query as a client shows it.
type Query struct {
	Key     []string
	Columns []Column
	Rows    map[string]Row // by the key's values as a JSON array
	Loaded  bool
	Resets  int    // how often it was begun anew
	Err     *Frame // how it ended
}

// Open expects frames for a subscription.
func (r *Replica) Open(id int) *Query {
	q := &Query{Rows: make(map[string]Row)}
	r.queries[id] = q
	return q
}

// Forget expects no more frames for a subscription.
func (r *Replica) Forget(id int) { delete(r.queries, id) }

// Receive takes one message of the server. It gives the frame that the message
// completes, applied, and nil while its continuation is still to come.
func (r *Replica) Receive(message []byte) (*Frame, error) {
	f, err := parseFrame(message)
	if err != nil {
		return nil, err
	}
	if r.partial != nil {
		if err := r.partial.join(f); err != nil {
			return nil, err
		}
		f = r.partial
	}
	if f.More {
		r.partial = f
		return nil, nil
	}
	r.partial = nil
	return f, r.apply(f)
}

func (r *Replica) apply(f *Frame) error {
	if f.Type == "error" && r.queries[f.ID] != nil {
		r.queries[f.ID].Err = f
	}
	for i := range f.Subscriptions {
		u := &f.Subscriptions[i]
		q := r.queries[u.ID]
		if q == nil || q.Err != nil {
			return fmt.Errorf("data for subscription %d, which is not open: %.2000s", u.ID, f.Raw)
		}
		if err := q.apply(u); err != nil {
			return fmt.Errorf("subscription %d: %w: %.2000s", u.ID, err, f.Raw)
		}
	}
	return nil
}

// apply holds the frame against what was shown: a row is added only when it was
// not there, modified and removed only when it was.
func (q *Query) apply(u *Update) error {
	if u.Snapshot != nil {
		if err := q.begin(u); err != nil {
			return err
		}
	}
	if !q.Loaded {
		return fmt.Errorf("changes before the snapshot")
	}
	touched := make(map[string]bool)
	for _, part := range []struct {
		rows        []Row
		had, remove bool
	}{{u.Added, false, false}, {u.Modified, true, false}, {u.Removed, true, true}} {
		for _, r := range part.rows {
			k := q.keyOf(r)
			if touched[k] {
				return fmt.Errorf("key %s twice in one frame", k)
			}
			touched[k] = true
			if part.remove && len(r) != len(q.Key) {
				return fmt.Errorf("a removal carries more than the key: %v", r)
			}
			if err := q.put(r, part.had, part.remove); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin takes the snapshot.
func (q *Query) begin(u *Update) error {
	switch {
	case q.Loaded && !u.Reset:
		return fmt.Errorf("a second snapshot without reset")
	case !q.Loaded && u.Reset:
		return fmt.Errorf("reset before there was anything")
	case len(u.Snapshot.Key) == 0 || len(u.Snapshot.Columns) == 0:
		return fmt.Errorf("a snapshot without key and columns")
	}
	if u.Reset {
		q.Resets++
	}
	q.Loaded, q.Key, q.Columns, q.Rows = true, u.Snapshot.Key, u.Snapshot.Columns, make(map[string]Row)
	for _, r := range u.Snapshot.Rows {
		if err := q.put(r, false, false); err != nil {
			return err
		}
	}
	return nil
}

func (q *Query) put(r Row, had, remove bool) error {
	k := q.keyOf(r)
	if _, has := q.Rows[k]; has != had {
		return fmt.Errorf("row %s was shown: %t, the frame takes it for %t", k, has, had)
	}
	if remove {
		delete(q.Rows, k)
		return nil
	}
	if len(r) != len(q.Columns) {
		return fmt.Errorf("row %v does not have the columns %v", r, q.Columns)
	}
	q.Rows[k] = r
	return nil
}

func (q *Query) keyOf(r Row) string {
	values := make([]any, len(q.Key))
	for i, k := range q.Key {
		values[i] = r[k]
	}
	text, _ := json.Marshal(values) // of decoded JSON: always possible
	return string(text)
}
