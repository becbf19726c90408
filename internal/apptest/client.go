package apptest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// patience is how long a client waits for a frame before the test fails.
const patience = 20 * time.Second

// Row is one row by column name; numbers are json.Number.
type Row map[string]any

// Frame is a frame of the server. Data frames that continue have been joined.
type Frame struct {
	Type          string   `json:"type"`
	ID            int      `json:"id"`
	Code          string   `json:"code"`
	Message       string   `json:"message"`
	Position      string   `json:"position"`
	Time          string   `json:"time"`
	More          bool     `json:"more"`
	Subscriptions []Update `json:"subscriptions"`
	Raw           []byte   `json:"-"` // of the last part
}

// Update is one subscription's part of a data frame.
type Update struct {
	ID       int       `json:"id"`
	Reset    bool      `json:"reset"`
	Snapshot *Snapshot `json:"snapshot"`
	Added    []Row     `json:"added"`
	Modified []Row     `json:"modified"`
	Removed  []Row     `json:"removed"`
}

// Snapshot is a subscription's start.
type Snapshot struct {
	Key     []string `json:"key"`
	Columns []struct{ Name, Type string }
	Rows    []Row `json:"rows"`
}

// Client is a connection with live queries. Its methods fail the test when the
// server breaks the protocol. For one goroutine.
type Client struct {
	tb      testing.TB
	conn    *websocket.Conn
	queries map[int]*Query
}

// Query is a live query as a client shows it.
type Query struct {
	Key    []string
	Rows   map[string]Row
	Loaded bool
	Err    *Frame // how it ended
}

// Dial opens a connection without authenticating.
func Dial(tb testing.TB, ws string) *Client {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, ws, &websocket.DialOptions{Subprotocols: []string{"walwire.v1"}})
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	conn.SetReadLimit(64 << 20)
	tb.Cleanup(func() { _ = conn.CloseNow() })
	return &Client{tb: tb, conn: conn, queries: make(map[int]*Query)}
}

// Connect opens a connection and authenticates it.
func (s *Server) Connect(token string) *Client {
	s.TB.Helper()
	c := Dial(s.TB, s.WS())
	c.Send(`{"type":"auth","token":%q}`, token)
	if f := c.Read(); f.Type != "welcome" {
		s.TB.Fatalf("want welcome, got %s", f.Raw)
	}
	return c
}

// Send writes a frame.
func (c *Client) Send(format string, args ...any) {
	c.tb.Helper()
	if err := c.TrySend([]byte(fmt.Sprintf(format, args...))); err != nil {
		c.tb.Fatalf("send: %v", err)
	}
}

// TrySend writes a frame that the server may not take.
func (c *Client) TrySend(frame []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return c.conn.Write(ctx, websocket.MessageText, frame)
}

// Subscribe asks for a live query; its rows come with the frames.
func (c *Client) Subscribe(id int, query string) *Query {
	c.tb.Helper()
	q := &Query{Rows: make(map[string]Row)}
	c.queries[id] = q
	c.Send(`{"type":"subscribe","id":%d,"query":%s}`, id, query)
	return q
}

// Open subscribes and reads until the rows are there.
func (c *Client) Open(id int, query string) *Query {
	c.tb.Helper()
	q := c.Subscribe(id, query)
	for !q.Loaded {
		if f := c.Read(); f.Type == "error" {
			c.tb.Fatalf("subscribe %s: %s", query, f.Raw)
		}
	}
	return q
}

// Close drops the connection.
func (c *Client) Close() { _ = c.conn.CloseNow() }

// Read gives the next frame, applied.
func (c *Client) Read() *Frame {
	c.tb.Helper()
	f, err := c.TryRead()
	if err != nil {
		c.tb.Fatalf("read frame: %v", err)
	}
	return f
}

// TryRead is Read for a connection that may end.
func (c *Client) TryRead() (*Frame, error) {
	var whole *Frame
	for {
		f, err := c.readPart()
		if err != nil {
			return nil, err
		}
		if whole == nil {
			whole = f
		} else {
			whole.join(f)
		}
		if !f.More {
			return whole, c.apply(whole)
		}
	}
}

func (c *Client) readPart() (*Frame, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, data, err := c.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	f := &Frame{Raw: data}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(f); err != nil {
		return nil, fmt.Errorf("frame %q: %w", data, err)
	}
	return f, nil
}

// join appends the continuation of a frame.
func (f *Frame) join(next *Frame) {
	f.Raw, f.More = next.Raw, next.More
	for _, u := range next.Subscriptions {
		last := &f.Subscriptions[len(f.Subscriptions)-1]
		if last.ID != u.ID {
			f.Subscriptions = append(f.Subscriptions, u)
			continue
		}
		if u.Snapshot != nil {
			last.Snapshot.Rows = append(last.Snapshot.Rows, u.Snapshot.Rows...)
		}
		last.Added = append(last.Added, u.Added...)
		last.Modified = append(last.Modified, u.Modified...)
		last.Removed = append(last.Removed, u.Removed...)
	}
}

func (c *Client) apply(f *Frame) error {
	if f.Type == "error" && c.queries[f.ID] != nil {
		c.queries[f.ID].Err = f
	}
	for i := range f.Subscriptions {
		u := &f.Subscriptions[i]
		q := c.queries[u.ID]
		if q == nil {
			return fmt.Errorf("data for subscription %d, which was never opened", u.ID)
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
		if q.Loaded && !u.Reset {
			return fmt.Errorf("a second snapshot without reset")
		}
		q.Loaded, q.Key, q.Rows = true, u.Snapshot.Key, make(map[string]Row)
		for _, r := range u.Snapshot.Rows {
			if err := q.put(r, false, false); err != nil {
				return err
			}
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
			if k := q.keyOf(r); touched[k] {
				return fmt.Errorf("key %s twice in one frame", k)
			} else {
				touched[k] = true
			}
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

func (q *Query) put(r Row, had, remove bool) error {
	k := q.keyOf(r)
	if _, has := q.Rows[k]; has != had {
		return fmt.Errorf("row %s was shown: %t, the frame takes it for %t", k, has, had)
	}
	if remove {
		delete(q.Rows, k)
	} else {
		q.Rows[k] = r
	}
	return nil
}

func (q *Query) keyOf(r Row) string {
	values := make([]any, len(q.Key))
	for i, k := range q.Key {
		values[i] = r[k]
	}
	text, _ := json.Marshal(values)
	return string(text)
}

// Wait reads until the server says that everything up to now has been delivered.
func (s *Server) Wait(c *Client) {
	s.TB.Helper()
	var lsn string
	s.Scan(&lsn, "SELECT pg_current_wal_insert_lsn()")
	c.WaitFor(lsn)
}

// WaitFor reads until lsn has been delivered.
func (c *Client) WaitFor(lsn string) {
	c.tb.Helper()
	const id = 999_999
	c.Send(`{"type":"wait","id":%d,"lsn":%q,"timeout_ms":15000}`, id, lsn)
	for {
		f := c.Read()
		if f.ID == id && f.Type == "waited" {
			return
		}
		if f.ID == id {
			c.tb.Fatalf("wait: %s", f.Raw)
		}
	}
}
