package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/walwire/walwire/internal/wire"
)

const (
	dialTime = 5 * time.Second
	// silence is how long a client waits for any answer before it gives its
	// connection up: a network can fall silent.
	silence  = 8 * time.Second
	pingPace = 2 * time.Second
)

// client is a frontend: it connects, holds live queries, drops its connection
// and comes back to where it was.
type client struct {
	run     *run
	index   int
	r       *rand.Rand
	user    *user
	queries []*query // to choose from
	proxy   string   // http:// address
	way     string   // of wire's

	feed    *feed // nil: none
	subs    []*live
	nextID  int
	settled chan struct{} // closed once it shows the final position
	once    sync.Once
	segment *segment
	heard   atomic.Int64 // when something last came, in Unix nanoseconds
	partial *frame
	waits   sync.Map      // by their ids, what the connection's waits ask for
	last    atomic.Uint64 // position shown
}

// follow is the client's life, until ctx ends.
func (c *client) follow(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.connect(ctx)
		if err != nil && ctx.Err() == nil {
			c.run.connectionEnded(c, err)
		}
		pause := time.Duration(c.r.IntN(400)) * time.Millisecond
		if c.r.IntN(8) == 0 && !c.run.quiet.Load() {
			pause *= time.Duration(4 + c.r.IntN(20))
		}
		if c.run.options.Seconds >= 60 && c.r.IntN(60) == 0 && !c.run.quiet.Load() { // longer than the log reaches back
			pause = retention + time.Duration(c.r.IntN(8000))*time.Millisecond
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// connect is one connection. A breach of the protocol fails the run; other
// errors are the network's or the server's end.
func (c *client) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	variant := c.run.variant.Load()
	conn, err := c.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.run.variant.Load() != variant {
		return nil
	}
	s := &segment{client: c.index, user: c.user, variant: int(variant)}
	c.segment, c.partial = s, nil
	c.run.open(s)
	defer c.close(s)
	c.choose()
	if err := c.subscribeAll(ctx, conn); err != nil {
		return err
	}
	if c.feed != nil {
		if err := conn.Write(ctx, []byte(c.feed.request())); err != nil {
			return err
		}
	}
	var chores sync.WaitGroup
	defer chores.Wait()
	defer cancel()
	c.heard.Store(time.Now().UnixNano())
	c.waits.Clear()
	luck := rand.New(rand.NewPCG(c.r.Uint64(), c.r.Uint64()))
	chores.Go(func() { c.chores(ctx, conn, luck, cancel) })
	return c.read(ctx, conn)
}

func (c *client) close(s *segment) {
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	for _, l := range c.subs {
		l.here, l.track, l.leaving = false, nil, false
	}
}

func (c *client) dial(ctx context.Context) (wire.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	token, err := c.user.token()
	if err != nil {
		return nil, err
	}
	conn, err := wire.Dial(ctx, c.way, c.proxy, token, 256<<20)
	if err != nil {
		return nil, err
	}
	data, err := conn.Read(ctx)
	if err == nil {
		var f frame
		if err = json.Unmarshal(data, &f); err == nil && f.Type != "welcome" {
			err = fmt.Errorf("instead of welcome: %s %s %s", f.Type, f.Code, f.Message)
			if f.Type != "error" && f.Type != "reconnect" && f.Type != "close" {
				err = c.breach(err)
			}
		}
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// choose keeps the live queries of before, as a rule, or takes others.
func (c *client) choose() {
	if !c.run.options.Resume || c.r.IntN(6) == 0 {
		c.subs = nil
	}
	c.subs = slices.DeleteFunc(c.subs, func(l *live) bool { return !l.loaded })
	for want := 1 + c.r.IntN(c.run.options.Subscriptions); len(c.subs) < want; {
		c.subs = append(c.subs, c.newLive())
	}
}

func (c *client) newLive() *live {
	c.nextID++
	l := &live{id: c.nextID, query: c.queries[c.r.IntN(len(c.queries))]}
	if c.r.IntN(2) == 0 { // as nobody else asks it: a hand-off of its own
		l.nonce = c.index*100_000 + c.nextID
	}
	return l
}

func (c *client) subscribeAll(ctx context.Context, conn wire.Conn) error {
	for _, l := range c.subs {
		if err := c.subscribe(ctx, conn, l); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) subscribe(ctx context.Context, conn wire.Conn, l *live) error {
	l.here, l.resume = false, l.loaded && l.token != "" && l.cursor != ""
	text := fmt.Sprintf(`{"type":"subscribe","id":%d,"query":%s`, l.id, l.query.json(l.nonce))
	if l.resume {
		text += fmt.Sprintf(`,"resume":{"cursor":%q,"token":%q}`, l.cursor, l.token)
	} else {
		l.loaded, l.rows, l.total, l.token, l.cursor = false, nil, 0, "", ""
	}
	l.track = &track{id: l.id, query: l.query, end: -1, live: func() map[string]uint64 { return copyHashes(l.rows) }}
	if l.resume {
		l.track.base = copyHashes(l.rows)
	}
	c.segment.mu.Lock()
	c.segment.tracks = append(c.segment.tracks, l.track)
	c.segment.mu.Unlock()
	return conn.Write(ctx, []byte(text+"}"))
}

// chores pings, waits for positions, and ends the connection when its time has
// come or nothing has been heard.
func (c *client) chores(ctx context.Context, conn wire.Conn, r *rand.Rand, cancel func()) {
	life := time.Now().Add(time.Duration((0.2 + r.ExpFloat64()) * float64(c.run.options.Life)))
	tick := time.NewTicker(pingPace/2 + time.Duration(r.Int64N(int64(pingPace))))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		text := fmt.Sprintf(`{"type":"ping","id":%d}`, n)
		final := c.run.final.Load()
		lsn := final
		if final == 0 && n%2 == 0 {
			lsn = c.run.written.Load()
		}
		if lsn != 0 {
			c.waits.Store(n, lsn)
			text = fmt.Sprintf(`{"type":"wait","id":%d,"lsn":%q}`, n, formatLSN(lsn))
		}
		if time.Since(time.Unix(0, c.heard.Load())) > silence {
			c.run.silent(c)
			cancel()
			conn.Close()
			return
		}
		if time.Now().After(life) && !c.run.quiet.Load() {
			conn.Close()
			return
		}
		write, done := context.WithTimeout(ctx, silence)
		err := conn.Write(write, []byte(text))
		done()
		if err != nil {
			return
		}
	}
}

// read takes frames until the connection ends.
func (c *client) read(ctx context.Context, conn wire.Conn) error {
	for {
		data, err := conn.Read(ctx)
		if err != nil {
			return err
		}
		c.heard.Store(time.Now().UnixNano())
		if err := c.receive(data); err != nil {
			return err
		}
		if c.run.quiet.Load() {
			continue
		}
		switch c.r.IntN(400) {
		case 0: // reads slowly
			time.Sleep(time.Duration(c.r.IntN(1500)) * time.Millisecond)
		case 1, 2, 3, 4, 5, 6, 7, 8:
			if err := c.exchange(ctx, conn); err != nil {
				return err
			}
		}
	}
}

// exchange ends a live query and opens another.
func (c *client) exchange(ctx context.Context, conn wire.Conn) error {
	if i := c.r.IntN(max(len(c.subs), 1)); len(c.subs) > 1 && !c.subs[i].leaving && c.subs[i].here {
		c.subs[i].leaving = true
		if err := conn.Write(ctx, fmt.Appendf(nil, `{"type":"unsubscribe","id":%d}`, c.subs[i].id)); err != nil {
			return err
		}
	}
	if len(c.subs) < c.run.options.Subscriptions+2 {
		l := c.newLive()
		c.subs = append(c.subs, l)
		return c.subscribe(ctx, conn, l)
	}
	return nil
}

// errBreach marks what a server must never send.
var errBreach = errors.New("breach of the protocol")
