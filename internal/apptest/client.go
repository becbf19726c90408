package apptest

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/walwire/walwire/internal/wire"
)

// patience is how long a client waits for a frame before the test fails.
const patience = 40 * time.Second

// Client is a connection with live queries. Its methods fail the test when the
// server breaks the protocol. For one goroutine.
type Client struct {
	*Replica
	tb   testing.TB
	conn *websocket.Conn
	by   wire.Conn // instead of conn; nil: none
}

// Dial opens a connection without authenticating.
func Dial(tb testing.TB, ws string) *Client {
	tb.Helper()
	c, err := TryDial(tb, ws, nil)
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	return c
}

// RefusedError is an upgrade that the server answered otherwise.
type RefusedError struct {
	Status int
	Err    error
}

func (e *RefusedError) Error() string { return fmt.Sprintf("HTTP %d: %v", e.Status, e.Err) }

func (e *RefusedError) Unwrap() error { return e.Err }

// TryDial opens a connection with further headers. A server's answer that is not
// the upgrade is a *RefusedError.
func TryDial(tb testing.TB, ws string, header http.Header) (*Client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, answer, err := websocket.Dial(ctx, ws, &websocket.DialOptions{Subprotocols: []string{"walwire.v1"}, HTTPHeader: header})
	if err != nil {
		if answer != nil {
			err = &RefusedError{Status: answer.StatusCode, Err: err}
		}
		return nil, err
	}
	conn.SetReadLimit(64 << 20)
	tb.Cleanup(func() { _ = conn.CloseNow() })
	return &Client{Replica: NewReplica(), tb: tb, conn: conn}, nil
}

// Connect opens a connection and authenticates it.
func (s *Server) Connect(token string) *Client {
	s.TB.Helper()
	c := Dial(s.TB, s.WS())
	c.Authenticate(token)
	return c
}

// ConnectBy is Connect by one of wire's ways.
func (s *Server) ConnectBy(way, token string) *Client {
	s.TB.Helper()
	return s.ConnectAt(s.URL(), way, token)
}

// ConnectAt is ConnectBy through what stands before the server.
func (s *Server) ConnectAt(url, way, token string) *Client {
	s.TB.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := wire.Dial(ctx, way, url, token, 64<<20)
	if err != nil {
		s.TB.Fatalf("connect by %s: %v", way, err)
	}
	s.TB.Cleanup(conn.Close)
	c := &Client{Replica: NewReplica(), tb: s.TB, by: conn}
	if f := c.Read(); f.Type != "welcome" {
		s.TB.Fatalf("want welcome, got %s", f.Raw)
	}
	return c
}

// Authenticate sends the token and reads the welcome.
func (c *Client) Authenticate(token string) {
	c.tb.Helper()
	c.Send(`{"type":"auth","token":%q}`, token)
	if f := c.Read(); f.Type != "welcome" {
		c.tb.Fatalf("want welcome, got %s", f.Raw)
	}
}

// Send writes a frame.
func (c *Client) Send(format string, args ...any) {
	c.tb.Helper()
	if err := c.TrySend([]byte(fmt.Sprintf(format, args...))); err != nil {
		c.tb.Fatalf("send: %v", err)
	}
}

// TrySend writes a frame that the server may not take.
func (c *Client) TrySend(frame []byte) error { return c.write(websocket.MessageText, frame) }

// SendBinary writes a binary message.
func (c *Client) SendBinary(frame []byte) {
	c.tb.Helper()
	if err := c.write(websocket.MessageBinary, frame); err != nil {
		c.tb.Fatalf("send: %v", err)
	}
}

func (c *Client) write(kind websocket.MessageType, frame []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if c.by != nil {
		return c.by.Write(ctx, frame)
	}
	return c.conn.Write(ctx, kind, frame)
}

// Subscribe asks for a live query; its rows come with the frames.
func (c *Client) Subscribe(id int, query string) *Query {
	c.tb.Helper()
	q := c.Replica.Open(id)
	c.Send(`{"type":"subscribe","id":%d,"query":%s}`, id, query)
	return q
}

// Resume goes on from the rows that another connection left in q, whose last cursor
// was that; it reads until the server has answered.
func (c *Client) Resume(id int, query string, q *Query, cursor string) {
	c.tb.Helper()
	c.Replica.Resume(id, q)
	c.Send(`{"type":"subscribe","id":%d,"query":%s,"resume":{"cursor":%q,"token":%q}}`, id, query, cursor, q.Token)
	for q.Waiting {
		if f := c.Read(); f.Type == "error" {
			c.tb.Fatalf("resume %s: %s", query, f.Raw)
		}
	}
}

// Listen subscribes to events, and reads until the server has said which there are.
func (c *Client) Listen(id int, events string) *Feed {
	c.tb.Helper()
	return c.listen(id, events, "")
}

// ListenFrom is Listen from where a connection was whose last cursor was that.
func (c *Client) ListenFrom(id int, events, cursor string) *Feed {
	c.tb.Helper()
	return c.listen(id, events, fmt.Sprintf(`,"resume":{"cursor":%q}`, cursor))
}

func (c *Client) listen(id int, events, resume string) *Feed {
	c.tb.Helper()
	f := c.Replica.Listen(id)
	c.Send(`{"type":"subscribe","id":%d,"events":%s%s}`, id, events, resume)
	for f.Names == nil {
		if f := c.Read(); f.Type == "error" {
			c.tb.Fatalf("listen to %s: %s", events, f.Raw)
		}
	}
	return f
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
func (c *Client) Close() {
	if c.by != nil {
		c.by.Close()
		return
	}
	_ = c.conn.CloseNow()
}

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
	for {
		message, err := c.receive()
		if err != nil {
			return nil, err
		}
		if f, err := c.Receive(message); f != nil || err != nil {
			return f, err
		}
	}
}

func (c *Client) receive() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if c.by != nil {
		return c.by.Read(ctx)
	}
	_, message, err := c.conn.Read(ctx)
	return message, err
}

// ReadClose reads until the server ends the connection and gives the close
// code, -1 where there was none, and the frames on the way.
func (c *Client) ReadClose() (code int, frames []*Frame) {
	c.tb.Helper()
	for {
		message, err := c.receive()
		if err != nil {
			return int(websocket.CloseStatus(err)), frames
		}
		f, err := c.Receive(message)
		if err != nil {
			c.tb.Fatalf("read frame: %v", err)
		}
		if f != nil {
			frames = append(frames, f)
		}
	}
}

// TryReadClose is ReadClose for goroutines: whatever comes before is let go.
func (c *Client) TryReadClose() (code int) {
	for {
		if _, err := c.receive(); err != nil {
			return int(websocket.CloseStatus(err))
		}
	}
}

// Wait reads until the server says that everything up to now has been delivered.
func (s *Server) Wait(c *Client) {
	s.TB.Helper()
	c.WaitFor(s.LSN())
}

// LSN is the position that the database has reached.
func (s *Server) LSN() string {
	s.TB.Helper()
	var lsn string
	s.Scan(&lsn, "SELECT pg_current_wal_insert_lsn()")
	return lsn
}

// WaitFor reads until lsn has been delivered.
func (c *Client) WaitFor(lsn string) {
	c.tb.Helper()
	const id = 999_999
	c.Send(`{"type":"wait","id":%d,"lsn":%q,"timeout_ms":30000}`, id, lsn)
	for {
		f := c.Read()
		if f.ID == id && f.Type == "waited" {
			return
		}
		if f.Wait == id {
			c.tb.Fatalf("wait: %s", f.Raw)
		}
	}
}
