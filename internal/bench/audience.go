package bench

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/stream"
)

const (
	// dialing is how many clients connect at the same time.
	dialing  = 64
	tokenTTL = time.Hour
	// settleTime bounds the wait for the answer that all has been delivered; it
	// is as long as the reference configuration lets a client wait.
	settleTime = 30 * time.Second
)

// audience are walwire's clients. A client is ready when its live queries show
// their rows.
type audience struct {
	company func(client int) string
	// queries are a client's live queries, as JSON; their ids count from 1.
	queries func(client int) []string
	// change is told of every data frame after a client is ready.
	change func(c *client, frame []byte)
	// comeback, unless it is nil, is for clients that come back: they go on from where they were.
	comeback *comeback

	key    *auth.Key
	rows   int // of the snapshots
	waited int // answers to wait
	putOff int // clients told to try again before they were let in
}

// maxPutOff is how often, for all clients of an audience.
const maxPutOff = 1_000

// gather connects n clients to a server: when it returns, every live query shows its rows.
func (a *audience) gather(ctx context.Context, n int, p *process) (s *swarm, err error) {
	if a.key, err = auth.NewSecretKey(tokenKey, []byte(p.secret)); err != nil {
		return nil, fmt.Errorf("make the tokens' key: %w", err)
	}
	if s, err = newSwarm(n, a); err != nil {
		return nil, err
	}
	if err := s.connect(ctx, p.address(), dialing); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// request implements protocol.
func (a *audience) request(*client) []byte {
	return upgradeRequest("/v1/stream", stream.Subprotocol)
}

func upgradeRequest(path, subprotocol string) []byte {
	request := "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	return []byte(request + "\r\n")
}

// opened implements protocol.
func (a *audience) opened(c *client) []byte {
	token, err := auth.Sign(a.key, auth.Claims{"iss": tokenIssuer, "aud": tokenAudience,
		"sub": fmt.Sprintf("client-%d", c.number), "company_id": a.company(c.number), "roles": []string{"owner"}}, tokenTTL)
	if err != nil {
		panic(err) // the key is ours
	}
	out := appendMasked(nil, opText, fmt.Appendf(nil, `{"type":"auth","token":%q}`, token))
	for i, query := range a.queries(c.number) {
		out = appendMasked(out, opText, subscribeFrame(i+1, query, a.resumeOf(c)))
	}
	return out
}

func subscribeFrame(id int, query, resume string) []byte {
	return fmt.Appendf(nil, `{"type":"subscribe","id":%d,"query":%s%s}`, id, query, resume)
}

// resumeOf is for clients with one live query.
func (a *audience) resumeOf(c *client) string {
	if a.comeback == nil || c.cursor == "" {
		return ""
	}
	return fmt.Sprintf(`,"resume":{"cursor":%q,"token":%q}`, c.cursor, c.token)
}

// text implements protocol.
func (a *audience) text(s *swarm, c *client, frame []byte) error {
	switch kindOf(frame) {
	case "welcome":
		if len(a.queries(c.number)) == 0 {
			s.isReady(c)
		}
	case "data":
		if !c.ready {
			return a.show(s, c, frame)
		}
		c.frames++
		c.bytes += int64(len(frame))
		a.change(c, frame)
		if a.comeback != nil {
			c.keep(frame)
		}
	case "waited":
		a.waited++
		if a.comeback != nil {
			a.comeback.answered(c)
		}
	case "error":
		if a.comeback != nil && bytes.Contains(frame, []byte(`"code":"unavailable"`)) {
			a.comeback.waiting++ // the server starts, and closes the connection
			return nil
		}
		if a.comeback != nil {
			a.comeback.refused++
			return nil
		}
		if !c.ready && a.putOff < maxPutOff && bytes.Contains(frame, []byte(`"code":"unavailable"`)) { // the machine is busy
			a.putOff++
			s.drop(c)
			s.again(c)
			return nil
		}
		fallthrough
	default:
		return fmt.Errorf("want data, got %.200s", frame)
	}
	return nil
}

// show takes the frames that bring a client's first rows.
func (a *audience) show(s *swarm, c *client, frame []byte) error {
	c.shown += bytes.Count(frame, []byte(snapshotNext))
	a.rows += rowsOf(frame)
	if b := a.comeback; b != nil {
		if c.cursor != "" { // it has been here before
			c.shown += b.back(frame)
			a.change(c, frame)
		}
		c.keep(frame)
	}
	if c.shown < len(a.queries(c.number)) || bytes.HasSuffix(frame, []byte(continued)) {
		return nil
	}
	s.isReady(c)
	if b := a.comeback; b != nil && b.lsn != "" {
		return s.say(c, waitRequest(b.lsn))
	}
	return nil
}

// keep notes what a client comes back with.
func (c *client) keep(frame []byte) {
	if cursor := textMember(frame, `"cursor":"`); cursor != "" {
		c.cursor = cursor
	}
	if token := textMember(frame, `"token":"`); token != "" {
		c.token = token
	}
}

// textMember gives the last text that follows name in a frame.
func textMember(frame []byte, name string) string {
	at := bytes.LastIndex(frame, []byte(name))
	if at < 0 {
		return ""
	}
	text, _, _ := bytes.Cut(frame[at+len(name):], []byte(`"`))
	return string(text)
}

// settle returns when everything up to the position lsn has been delivered to
// everybody, so that what would come twice has come.
func (a *audience) settle(ctx context.Context, s *swarm, lsn string) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if err := s.ask(func() error {
		a.waited = 0
		for _, c := range s.clients {
			if err := s.say(c, waitRequest(lsn)); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := s.await(ctx, func() bool { return a.waited == len(s.clients) }); err != nil {
		return fmt.Errorf("the clients wait for the end of the WAL: %w", err)
	}
	return nil
}

func waitRequest(lsn string) []byte {
	return fmt.Appendf(nil, `{"type":"wait","id":1,"lsn":%q,"timeout_ms":%d}`, lsn, settleTime.Milliseconds())
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

// address is where a server listens, as host:port.
func (p *process) address() string { return strings.TrimPrefix(p.url, "http://") }
