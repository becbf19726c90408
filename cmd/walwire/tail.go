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
	Token   string        `help:"Whose token to show. Use the variable where others see the command line." placeholder:"JWT" env:"WALWIRE_TOKEN"`
	Query   string        `help:"The live query, as JSON." placeholder:"JSON"`
	Events  []string      `help:"The events to be told of: names, entity.* or *, with commas between. Repeat for more." placeholder:"NAME"`
	Room    []string      `help:"A room to listen in, kind:value, instead of the whole company. Repeat for more." sep:"none" placeholder:"ROOM"`
	Since   string        `help:"Also the events of commits from this time on, as in 2026-03-01T09:00:00Z." placeholder:"TIME"`
	Count   int           `help:"End after this many data frames of the query and events. Default: go on." placeholder:"N"`
	Timeout time.Duration `help:"End after this long, as in 10s: a failure if --count or --wait is not fulfilled by then. Default: go on." placeholder:"DURATION"`
	All     bool          `help:"Print every frame as it comes, such as welcome, and events within their frames."`
	Wait    string        `help:"Also wait for this position in the WAL, and print the waited frame. Without --query and --events end then." placeholder:"LSN"`
}

// Help explains the command.
func (tailCmd) Help() string {
	return `Subscribes to a live query, to named events, or to both, and prints what comes, one JSON text a line: of a query first the rows, then every change to them, a frame a line. A large frame that the server sends in parts is printed in parts, all but the last with "more": true, and counts as one.

  walwire tail --token "$TOKEN" --query '{"table":"orders","where":[["state","==","open"]]}'

  walwire tail --token "$TOKEN" --query '{"table":"orders"}' --count 1 | jq '.subscriptions[0].snapshot.rows'

With --events, alone or beside a query, each event is a line of its own, and so is a gap: {"event":"gap",...} says that events may be missing there.

  walwire tail --token "$TOKEN" --events '*'

  walwire tail --token "$TOKEN" --events 'order.*' --room user:anna --since 2026-03-01T09:00:00Z

A connection that ends is made again, and all goes on from where it was: no event is lost or printed twice; what a query missed comes in a frame with "resumed": true, or all rows with "reset": true where the server no longer knows it.

Exits with 0 after --count frames, or at the --timeout if no count was asked for; otherwise with 1 and the server's error as "code: message".`
}

// Validate is asked by the command line's parser.
func (t *tailCmd) Validate() error {
	switch {
	case !t.subscribes() && t.Wait == "":
		return errors.New(`--query or --events is needed, as in --query '{"table":"orders"}' or --events '*'`)
	case t.Query != "" && !json.Valid([]byte(t.Query)):
		return fmt.Errorf("--query is not JSON: %s", t.Query)
	case !t.subscribes() && t.Count > 0:
		return errors.New("--count needs a --query or --events")
	case len(t.Events) == 0 && (len(t.Room) > 0 || t.Since != ""):
		return errors.New("--room and --since need --events")
	case t.Count < 0 || t.Timeout < 0:
		return errors.New("--count and --timeout can't be negative")
	}
	return nil
}

func (t *tailCmd) subscribes() bool { return t.Query != "" || len(t.Events) > 0 }

// Run prints frames and events until enough came, or ctx or the timeout ended.
func (t *tailCmd) Run(ctx context.Context, c *console) error {
	if t.Token == "" {
		return errors.New("whose token? set WALWIRE_TOKEN, or give --token (walwire token signs one for development)")
	}
	address, err := streamURL(t.URL)
	if err != nil {
		return err
	}
	goal := &tailGoal{all: t.All, endless: t.subscribes() && t.Count == 0, wanted: t.Count, waited: t.Wait == "", told: make(map[string]bool)}
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
		goal.query.here, goal.events.here = false, false
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

// The subscriptions of tail.
const (
	queryID  = 1
	eventsID = 2
)

// requests are the frames that follow the auth frame.
func (t *tailCmd) requests(goal *tailGoal) []map[string]any {
	var out []map[string]any
	if t.Query != "" {
		subscribe := map[string]any{"type": "subscribe", "id": queryID, "query": json.RawMessage(t.Query)}
		if at := goal.query; at.cursor != "" {
			subscribe["resume"] = map[string]string{"cursor": at.cursor, "token": at.token}
		}
		out = append(out, subscribe)
	}
	if len(t.Events) > 0 {
		events := map[string]any{"names": t.Events}
		if len(t.Room) > 0 {
			events["rooms"] = t.Room
		}
		if t.Since != "" {
			events["since"] = t.Since
		}
		subscribe := map[string]any{"type": "subscribe", "id": eventsID, "events": events}
		if at := goal.events; at.cursor != "" {
			subscribe["resume"] = map[string]string{"cursor": at.cursor}
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
