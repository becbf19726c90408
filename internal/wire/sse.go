package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
)

func dialSSE(ctx context.Context, server, token string, maxFrame int64) (Conn, error) {
	r := newRequests(server)
	request, err := http.NewRequestWithContext(r.ctx, http.MethodGet, server+"/v1/sse", nil)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, r.cancel) // ctx bounds the dialling alone
	answer, err := r.do(request, token)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		defer func() { _ = answer.Body.Close() }()
		r.end(r.events(answer.Body, maxFrame))
	}()
	return r, nil
}

// events reads until the stream ends. An event counts once the empty line after it has come.
func (r *requests) events(body io.Reader, maxFrame int64) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, int(maxFrame))
	var event []byte
	for lines.Scan() {
		if frame, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
			event = bytes.Clone(frame)
		}
		if len(lines.Bytes()) == 0 && event != nil {
			if err := r.give(event); err != nil {
				return err
			}
			event = nil
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return fmt.Errorf("the stream of events ended: %w", io.ErrUnexpectedEOF)
}
