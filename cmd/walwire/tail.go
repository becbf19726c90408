package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// tailCmd is `walwire tail`.
type tailCmd struct {
	URL     string        `help:"The server." default:"ws://127.0.0.1:8080/v1/stream" env:"WALWIRE_URL"`
	Token   string        `help:"Whose token to show. Use the variable where others see the command line." required:"" placeholder:"JWT" env:"WALWIRE_TOKEN"`
	Query   string        `help:"The live query, as JSON." placeholder:"JSON"`
	Count   int           `help:"End after this many data frames. Default: go on." placeholder:"N"`
	Timeout time.Duration `help:"End after this long, as in 10s: a failure if --count or --wait is not fulfilled by then. Default: go on." placeholder:"DURATION"`
	All     bool          `help:"Print every frame, such as welcome, and not data frames alone."`
	Wait    string        `help:"Also wait for this position in the WAL, and print the waited frame. Without --query end then." placeholder:"LSN"`
}

// Help explains the command.
func (tailCmd) Help() string {
	return `Subscribes to a live query and prints what comes, one JSON frame a line: first the rows, then every change to them. A large frame that the server sends in parts is printed in parts, all but the last with "more": true, and counts as one.

  walwire tail --token "$TOKEN" --query '{"table":"appointments","where":[["status","==","confirmed"]]}'

  walwire tail --token "$TOKEN" --query '{"table":"staff"}' --count 1 | jq '.subscriptions[0].snapshot.rows'

A connection that ends is made again, and the query goes on from where it was: what was missed comes in a frame with "resumed": true, or all rows with "reset": true where the server no longer knows it.

Exits with 0 after --count frames, or at the --timeout if no count was asked for; otherwise with 1 and the server's error as "code: message".`
}

// Validate is asked by the command line's parser.
func (t *tailCmd) Validate() error {
	switch {
	case t.Query == "" && t.Wait == "":
		return errors.New(`--query is needed, as in --query '{"table":"appointments"}'`)
	case t.Query != "" && !json.Valid([]byte(t.Query)):
		return fmt.Errorf("--query is not JSON: %s", t.Query)
	case t.Query == "" && t.Count > 0:
		return errors.New("--count needs a --query")
	case t.Count < 0 || t.Timeout < 0:
		return errors.New("--count and --timeout can't be negative")
	}
	return nil
}

// Run prints frames until enough came, or ctx or the timeout ended.
func (t *tailCmd) Run(ctx context.Context, c *console) error {
	address, err := streamURL(t.URL)
	if err != nil {
		return err
	}
	goal := &tailGoal{all: t.All, endless: t.Query != "" && t.Count == 0, frames: t.Count, waited: t.Wait == ""}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if t.Timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, t.Timeout)
	}
	defer cancel()
	err = t.persist(limited, c, address, goal)
	switch {
	case err == nil || limited.Err() == nil:
		return err
	case ctx.Err() != nil:
		return goal.unmet("interrupted")
	case !goal.welcome:
		return fmt.Errorf("timeout: no welcome from %s within %s", address, t.Timeout)
	}
	return goal.unmet(fmt.Sprintf("timeout after %s", t.Timeout))
}

// persist follows over one connection after the other, once one has brought rows or
// while the server is starting.
func (t *tailCmd) persist(ctx context.Context, c *console, address string, goal *tailGoal) error {
	const first, most = 100 * time.Millisecond, 5 * time.Second
	for wait := first; ; wait = min(2*wait, most) {
		cursor := goal.cursor
		goal.here = false
		err := t.follow(ctx, address, goal, func(frame []byte) (bool, error) { return goal.take(c.out, frame) })
		if err == nil || ctx.Err() != nil || !comesBack(err) || goal.cursor == "" && !starting(err) {
			return err
		}
		if goal.cursor != cursor {
			wait = first
		}
		if _, err := fmt.Fprintf(c.err, "walwire: %s; connecting again in %s\n", err, wait); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// starting reports whether the server is there and can't serve yet.
func starting(err error) bool {
	var told *serverError
	return errors.As(err, &told) && told.code == "unavailable"
}

// comesBack reports whether another connection may be better.
func comesBack(err error) bool {
	var told *serverError
	var closed websocket.CloseError
	switch {
	case errors.As(err, &told):
		return told.passes()
	case errors.As(err, &closed):
		return closed.Code < 4500
	}
	return true
}

// follow connects, asks, and hands each frame to take until that is done.
func (t *tailCmd) follow(ctx context.Context, address string, goal *tailGoal, take func([]byte) (bool, error)) error {
	client, err := dialStream(ctx, address)
	if err != nil {
		return err
	}
	defer client.close()
	if err := client.send(ctx, map[string]any{"type": "auth", "token": t.Token}); err != nil {
		return err
	}
	if err := client.each(ctx, until(take)); err != nil {
		return err
	}
	for _, request := range t.requests(goal) {
		if err := client.send(ctx, request); err != nil {
			return err
		}
	}
	return client.each(ctx, take)
}

// until is take, done after the first frame: the welcome.
func until(take func([]byte) (bool, error)) func([]byte) (bool, error) {
	return func(frame []byte) (bool, error) {
		_, err := take(frame)
		return true, err
	}
}

// maxWaitTimeout is the longest wait that is asked of a server; a lower limit of
// its own is its to name.
const maxWaitTimeout = 30 * time.Second

// requests are the frames that follow the auth frame.
func (t *tailCmd) requests(goal *tailGoal) []map[string]any {
	var out []map[string]any
	if t.Query != "" {
		subscribe := map[string]any{"type": "subscribe", "id": 1, "query": json.RawMessage(t.Query)}
		if goal.cursor != "" {
			subscribe["resume"] = map[string]string{"cursor": goal.cursor, "token": goal.token}
		}
		out = append(out, subscribe)
	}
	if t.Wait != "" && !goal.waited {
		wait := map[string]any{"type": "wait", "id": 1, "lsn": t.Wait}
		if t.Timeout > 0 {
			wait["timeout_ms"] = max(1, min(t.Timeout, maxWaitTimeout).Milliseconds())
		}
		out = append(out, wait)
	}
	return out
}
