package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/coder/websocket"

	"github.com/walwire/walwire/stream"
)

// maxServerFrame bounds one frame of the server, in octets: a single row may be
// as large as PostgreSQL allows in JSON.
const maxServerFrame = 1 << 30

// streamClient is a connection to a server's stream.
type streamClient struct{ conn *websocket.Conn }

// dialStream connects. A refusal is reported as the server words it.
func dialStream(ctx context.Context, address string) (*streamClient, error) {
	conn, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{Subprotocols: []string{stream.Subprotocol}})
	if err != nil {
		return nil, refusal(address, response, err)
	}
	if conn.Subprotocol() != stream.Subprotocol {
		_ = conn.CloseNow()
		return nil, fmt.Errorf("%s does not speak %s: is it a walwire server?", address, stream.Subprotocol)
	}
	conn.SetReadLimit(maxServerFrame)
	return &streamClient{conn}, nil
}

// refusal finds what to say of a failed handshake.
func refusal(address string, response *http.Response, err error) error {
	if response == nil || response.StatusCode == http.StatusSwitchingProtocols {
		var network *net.OpError // without the layers above it, which say no more
		if errors.As(err, &network) {
			err = network
		}
		return fmt.Errorf("connect to %s: %w: is a server running there? --url or WALWIRE_URL names another", address, err)
	}
	var answer struct{ Code, Message string }
	body, readErr := io.ReadAll(response.Body) // no more than 1 KiB, already in memory
	if readErr == nil && json.Unmarshal(body, &answer) == nil && answer.Code != "" {
		return &serverError{answer.Code, answer.Message}
	}
	return fmt.Errorf("connect to %s: the server answers %s", address, response.Status)
}

// send writes one frame.
func (c *streamClient) send(ctx context.Context, frame any) error {
	text, err := json.Marshal(frame)
	if err != nil {
		return fmt.Errorf("encode a frame: %w", err)
	}
	if err := c.conn.Write(ctx, websocket.MessageText, text); err != nil {
		return fmt.Errorf("send a frame: %w", ended(err))
	}
	return nil
}

// each hands frames to take until that is done or fails, or the connection ends.
func (c *streamClient) each(ctx context.Context, take func(frame []byte) (done bool, err error)) error {
	for {
		_, frame, err := c.conn.Read(ctx)
		if err != nil {
			return ended(err)
		}
		if done, err := take(frame); done || err != nil {
			return err
		}
	}
}

// ended says with which words the server closed the connection, if it did.
func ended(err error) error {
	var closed websocket.CloseError
	if errors.As(err, &closed) {
		return &closedError{closed}
	}
	return fmt.Errorf("the connection broke: %w", err)
}

// close says goodbye; a server that does not answer that is left soon.
func (c *streamClient) close() { _ = c.conn.Close(websocket.StatusNormalClosure, "") }

// closedError words a CloseError.
type closedError struct{ websocket.CloseError }

func (e *closedError) Error() string {
	return fmt.Sprintf("the server closed the connection: %d %s", int(e.Code), e.Reason)
}

func (e *closedError) Unwrap() error { return e.CloseError }
