package bench

import (
	"bytes"
	"context"
	"fmt"

	"github.com/coder/websocket"

	"github.com/walwire/walwire/stream"
)

// subscriber is one connection with one live query: the appointments of one
// member of staff.
type subscriber struct {
	conn    *websocket.Conn
	tally   *tally
	checker *checker
	waited  chan struct{} // closed when the server says that all has been delivered
	buffers *bufferPool
}

// dial connects, opens the query and reads its rows.
func (s *subscriber) dial(ctx context.Context, url, token string) (err error) {
	s.conn, _, err = websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{stream.Subprotocol}})
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	s.conn.SetReadLimit(-1)
	if err := s.open(ctx, token); err != nil {
		_ = s.conn.CloseNow()
		return err
	}
	return nil
}

func (s *subscriber) open(ctx context.Context, token string) error {
	if err := s.send(ctx, `{"type":"auth","token":%q}`, token); err != nil {
		return err
	}
	err := s.send(ctx, `{"type":"subscribe","id":1,"query":{"table":"appointments","where":[["staff_id","==",%q]]}}`,
		staffOf(s.checker.query))
	if err != nil {
		return err
	}
	rows, more := 0, true
	for first := true; more; {
		err := s.read(ctx, func(frame []byte) error {
			switch {
			case kindOf(frame) == "welcome":
			case kindOf(frame) != "data" || first && !opensWith(frame, snapshotNext):
				return fmt.Errorf("want the rows, got %.200s", frame)
			default:
				rows += rowsOf(frame)
				first, more = false, bytes.HasSuffix(frame, []byte(continued))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if want := s.checker.data.rowsPerQuery(); rows != want {
		return fmt.Errorf("the live query shows %d rows at first, not %d", rows, want)
	}
	return nil
}

// follow counts changes until the connection ends, which is an error unless ctx
// has ended. It is for whoever ends ctx to close the connection too: reads with a
// context that can end cost more.
func (s *subscriber) follow(ctx context.Context) error {
	for {
		err := s.read(context.Background(), func(frame []byte) error {
			switch kindOf(frame) {
			case "data":
				s.tally.add(s.checker.change(frame))
			case "waited":
				close(s.waited)
			default:
				return fmt.Errorf("want changes, got %.200s", frame)
			}
			return nil
		})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// read hands one frame to take, which must not keep it.
func (s *subscriber) read(ctx context.Context, take func(frame []byte) error) error {
	_, r, err := s.conn.Reader(ctx)
	if err != nil {
		return fmt.Errorf("read a frame: %w", err)
	}
	// Only now, so that a connection that waits has no buffer.
	b := s.buffers.get()
	defer s.buffers.put(b)
	if _, err := b.ReadFrom(r); err != nil {
		return fmt.Errorf("read a frame: %w", err)
	}
	return take(b.Bytes())
}

func (s *subscriber) send(ctx context.Context, format string, args ...any) error {
	if err := s.conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, format, args...)); err != nil {
		return fmt.Errorf("send a frame: %w", err)
	}
	return nil
}

// kindOf is a frame's type, which is its first member.
func kindOf(frame []byte) string {
	rest, ok := bytes.CutPrefix(frame, []byte(`{"type":"`))
	if !ok {
		return ""
	}
	kind, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(kind)
}
