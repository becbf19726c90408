package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
)

func dialPoll(ctx context.Context, server, token string, maxFrame int64) (Conn, error) {
	r := newRequests(server)
	stop := context.AfterFunc(ctx, r.cancel) // ctx bounds the dialling alone
	frames, err := r.poll(token, []byte(`{}`), maxFrame)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	go func() {
		for n := 2; ; n++ {
			for _, frame := range frames {
				if err := r.give(frame); err != nil {
					r.end(err)
					return
				}
			}
			if frames, err = r.poll("", fmt.Appendf(nil, `{"key":%q,"poll":%d}`, r.key, n), maxFrame); err != nil {
				r.end(err)
				return
			}
		}
	}()
	return r, nil
}

func (r *requests) poll(token string, body []byte, maxFrame int64) ([]json.RawMessage, error) {
	answer, err := r.post(r.ctx, "/v1/poll", token, body)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var polled struct{ Frames []json.RawMessage }
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxFrame)).Decode(&polled); err != nil {
		return nil, fmt.Errorf("read the answer to a poll: %w", err)
	}
	return polled.Frames, nil
}
