package apptest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Replica is what a client makes of the frames it is sent: the rows of its live
// queries. It knows nothing of connections. A frame that breaks the protocol is
// an error. For one goroutine.
type Replica struct {
	Cursor  string // of the last data frame
	queries map[int]*Query
	feeds   map[int]*Feed
	partial *Frame // its continuation is still to come
}

// NewReplica makes a replica without live queries.
func NewReplica() *Replica {
	return &Replica{queries: make(map[int]*Query), feeds: make(map[int]*Feed)}
}

// Query is a live query as a client shows it.
type Query struct {
	Key     []string
	Columns []Column
	Rows    map[string]Row    // by the key's values as a JSON array
	Order   map[string]string // order keys, of an ordered query
	Token   string            // to resume with
	Loaded  bool
	Waiting bool   // it was asked to be resumed, and not answered yet
	Resets  int    // how often it was begun anew
	Resumes int    // how often it went on
	Err     *Frame // how it ended
}

// Feed is a subscription to events as a client has been told it.
type Feed struct {
	Names  []string // that it can get; nil: it has not begun
	Events []Event
	Err    *Frame // how it ended
}

// Listen expects events for a subscription.
func (r *Replica) Listen(id int) *Feed {
	f := &Feed{}
	r.feeds[id] = f
	return f
}

func (f *Feed) apply(u *Update) error {
	if u.Names != nil {
		f.Names = u.Names
	}
	if f.Names == nil || len(u.Added)+len(u.Modified)+len(u.Removed) > 0 || u.Snapshot != nil {
		return fmt.Errorf("rows, or events before the names")
	}
	f.Events = append(f.Events, u.Events...)
	return nil
}

// Sorted gives the rows of an ordered query in their order.
func (q *Query) Sorted() []Row {
	keys := slices.Collect(maps.Keys(q.Rows))
	slices.SortFunc(keys, func(a, b string) int { return strings.Compare(q.Order[a], q.Order[b]) })
	rows := make([]Row, len(keys))
	for i, k := range keys {
		rows[i] = q.Rows[k]
	}
	return rows
}

// Open expects frames for a subscription.
func (r *Replica) Open(id int) *Query {
	q := &Query{Rows: make(map[string]Row), Order: make(map[string]string)}
	r.queries[id] = q
	return q
}

// Resume expects frames for a subscription that goes on from the rows of q.
func (r *Replica) Resume(id int, q *Query) {
	q.Waiting = true
	r.queries[id] = q
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
	if f.Type == "error" && r.feeds[f.ID] != nil {
		r.feeds[f.ID].Err = f
	}
	if f.Type == "data" {
		if f.Cursor == "" {
			return fmt.Errorf("a data frame without a cursor: %.2000s", f.Raw)
		}
		r.Cursor = f.Cursor
	}
	for i := range f.Subscriptions {
		u := &f.Subscriptions[i]
		if feed := r.feeds[u.ID]; feed != nil && feed.Err == nil {
			if err := feed.apply(u); err != nil {
				return fmt.Errorf("subscription %d: %w: %.2000s", u.ID, err, f.Raw)
			}
			continue
		}
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
	switch {
	case u.Resumed && (!q.Waiting || u.Reset || u.Snapshot != nil):
		return fmt.Errorf("resumed, but it was not asked for or has a snapshot")
	case q.Waiting && !u.Resumed && !u.Reset:
		return fmt.Errorf("neither resumed nor reset")
	case u.Resumed:
		q.Resumes++
	}
	if u.Snapshot != nil {
		if err := q.begin(u); err != nil {
			return err
		}
	}
	q.Waiting = false
	if !q.Loaded {
		return fmt.Errorf("changes before the snapshot")
	}
	touched := make(map[string]bool)
	for _, part := range []struct {
		rows        []Row
		order       []string
		had, remove bool
	}{{u.Removed, nil, true, true}, {u.Added, u.AddedOrder, false, false}, {u.Modified, u.ModifiedOrder, true, false}} {
		if err := q.checkOrder(part.rows, part.order, part.remove); err != nil {
			return err
		}
		for i, r := range part.rows {
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
			if len(part.order) > 0 {
				q.Order[k] = part.order[i]
			}
		}
	}
	return nil
}

// checkOrder holds the order keys against the rows: each row of an ordered query has
// one, and none of another.
func (q *Query) checkOrder(rows []Row, order []string, remove bool) error {
	if len(order) != 0 && len(order) != len(rows) {
		return fmt.Errorf("%d order keys for %d rows", len(order), len(rows))
	}
	if len(q.Rows) > 0 && len(rows) > 0 && !remove && (len(q.Order) > 0) != (len(order) > 0) {
		return fmt.Errorf("%d rows with %d order keys among %d", len(rows), len(order), len(q.Order))
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
	case len(u.Snapshot.Key) == 0 || len(u.Snapshot.Columns) == 0 || u.Snapshot.Token == "":
		return fmt.Errorf("a snapshot without key, columns and token")
	}
	if u.Reset {
		q.Resets++
	}
	q.Loaded, q.Key, q.Columns, q.Rows = true, u.Snapshot.Key, u.Snapshot.Columns, make(map[string]Row)
	q.Order, q.Token = make(map[string]string), u.Snapshot.Token
	if err := q.checkOrder(u.Snapshot.Rows, u.Snapshot.Order, false); err != nil {
		return err
	}
	for i, r := range u.Snapshot.Rows {
		if err := q.put(r, false, false); err != nil {
			return err
		}
		if len(u.Snapshot.Order) > 0 {
			if i > 0 && u.Snapshot.Order[i-1] >= u.Snapshot.Order[i] {
				return fmt.Errorf("rows %d and %d of the snapshot are not in order", i-1, i)
			}
			q.Order[q.keyOf(r)] = u.Snapshot.Order[i]
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
		delete(q.Order, k)
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
