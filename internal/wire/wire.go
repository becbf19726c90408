package wire

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/coder/websocket"
)

// The ways to a server.
const (
	WebSocket = "websocket"
	SSE       = "sse"
	Poll      = "poll"
)

// Conn carries frames. The first one read is the welcome. A connection that the server
// has closed fails with a websocket.CloseError, whichever way it goes.
type Conn interface {
	// Read gives the next frame. For one goroutine. A WebSocket does not outlive ctx.
	Read(ctx context.Context) ([]byte, error)
	// Write sends a frame. Safe for concurrent use.
	Write(ctx context.Context, frame []byte) error
	// Close drops the connection.
	Close()
}

// RefusedError is a server's answer to who is not let in by HTTP.
type RefusedError struct {
	Status  int
	Code    string
	Message string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("HTTP %d: %s: %s", e.Status, e.Code, e.Message)
}

// Dial connects to a server, as in http://127.0.0.1:8080, and shows the token. maxFrame
// bounds what the server sends, in octets.
func Dial(ctx context.Context, way, server, token string, maxFrame int64) (Conn, error) {
	switch way {
	case WebSocket:
		return dialWebSocket(ctx, server, token, maxFrame)
	case SSE:
		return dialSSE(ctx, server, token, maxFrame)
	case Poll:
		return dialPoll(ctx, server, token, maxFrame)
	}
	return nil, fmt.Errorf("there is no way %q: use %s, %s or %s", way, WebSocket, SSE, Poll)
}

// socket is a WebSocket.
type socket struct{ conn *websocket.Conn }

func dialWebSocket(ctx context.Context, server, token string, maxFrame int64) (Conn, error) {
	conn, answer, err := websocket.Dial(ctx, "ws"+strings.TrimPrefix(server, "http")+"/v1/stream", &websocket.DialOptions{Subprotocols: []string{"walwire.v1"}})
	if err != nil {
		if answer != nil && answer.StatusCode != http.StatusSwitchingProtocols {
			return nil, refusedBy(answer)
		}
		return nil, err
	}
	conn.SetReadLimit(maxFrame)
	s := socket{conn}
	if err := s.Write(ctx, fmt.Appendf(nil, `{"type":"auth","token":%q}`, token)); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s socket) Read(ctx context.Context) ([]byte, error) {
	_, frame, err := s.conn.Read(ctx)
	return frame, err
}

func (s socket) Write(ctx context.Context, frame []byte) error {
	return s.conn.Write(ctx, websocket.MessageText, frame)
}

func (s socket) Close() { _ = s.conn.CloseNow() }

// requests is what server-sent events and polls have in common: frames come from a
// goroutine, and go by requests.
type requests struct {
	server string
	client *http.Client
	ctx    context.Context // the connection's
	cancel context.CancelFunc
	frames chan []byte
	key    string
	err    error      // why frames is closed
	turn   sync.Mutex // of what is sent: the server takes one request at a time
}

func newRequests(server string) *requests {
	r := &requests{server: server, client: &http.Client{Transport: &http.Transport{}}, frames: make(chan []byte, 64)}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

func (r *requests) Read(ctx context.Context) ([]byte, error) {
	select {
	case frame, ok := <-r.frames:
		if ok {
			return frame, nil
		}
		return nil, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (r *requests) Write(ctx context.Context, frame []byte) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	body := fmt.Appendf(nil, `{"key":%q,"frames":[%s]}`, r.key, frame)
	answer, err := r.post(ctx, "/v1/send", "", body)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

func (r *requests) Close() {
	r.cancel()
	r.client.CloseIdleConnections()
}

// post sends a JSON body; an answer other than 200 is an error.
func (r *requests) post(ctx context.Context, path, token string, body []byte) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	return r.do(request, token)
}

func (r *requests) do(request *http.Request, token string) (*http.Response, error) {
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := r.client.Do(request)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = refusedBy(answer)
		_ = answer.Body.Close()
	}
	return answer, err
}

func refusedBy(answer *http.Response) error {
	e := &RefusedError{Status: answer.StatusCode}
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if json.Unmarshal(text, e) != nil {
		e.Message = strings.TrimSpace(string(text))
	}
	return e
}

// give hands a frame to Read; an error ends the connection. A close frame is one.
func (r *requests) give(frame []byte) error {
	var known struct {
		Type   string
		Key    string
		Code   int
		Reason string
	}
	if bytes.HasPrefix(frame, []byte(`{"type":"welcome"`)) || bytes.HasPrefix(frame, []byte(`{"type":"close"`)) {
		if err := json.Unmarshal(frame, &known); err != nil {
			return err
		}
	}
	switch known.Type {
	case "welcome":
		r.key = known.Key
	case "close":
		return websocket.CloseError{Code: websocket.StatusCode(known.Code), Reason: known.Reason}
	}
	select {
	case r.frames <- frame:
		return nil
	case <-r.ctx.Done():
		return r.ctx.Err()
	}
}

// end lets Read fail once the frames have been read.
func (r *requests) end(err error) {
	r.err = err
	r.cancel()
	close(r.frames)
}
