package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// sdkMost is how many live queries a client of the SDK has, at most.
const sdkMost = 4

// sdk is a Node process whose clients are the TypeScript SDK: sdk/test/torture.ts.
type sdk struct {
	run     *run
	clients map[int]*sdkClient

	mu    sync.Mutex // protects following
	input io.WriteCloser
}

// sdkClient is one of its clients, as its listeners were told. Its live queries belong to
// the segment's mutex.
type sdkClient struct {
	*client
	lists map[int][]shownKey // by subscription, in the order shown
	next  uint64             // position of the line at hand
}

type shownKey struct {
	key  string
	hash uint64
}

// sdkLine is what the process says.
type sdkLine struct {
	Client    int    `json:"client"`
	Begin     int    `json:"begin"` // subscription
	Query     int    `json:"query"`
	Firestore bool   `json:"firestore"`
	End       int    `json:"end"`
	Code      string `json:"code"` // why it ended, "" where it was asked to
	Message   string `json:"message"`
	Fault     string `json:"fault"`
	Settled   bool   `json:"settled"`
	Position  string `json:"position"`

	Subscriptions []sdkTold `json:"subscriptions"`
}

// sdkTold is how a list was told to become another.
type sdkTold struct {
	ID       int               `json:"id"`
	Loading  bool              `json:"loading"`
	Removed  []json.RawMessage `json:"removed"`
	Added    []json.RawMessage `json:"added"`
	Modified []json.RawMessage `json:"modified"`
	Steps    []sdkStep         `json:"steps"`
}

// sdkStep is a change of one row.
type sdkStep struct {
	Type     string `json:"type"`
	Row      int    `json:"row"` // of the list for its type
	OldIndex int    `json:"old"`
	NewIndex int    `json:"new"`
}

// forJavaScript takes from the values those that JSON.parse can't keep.
func forJavaScript(all []*table) {
	for _, t := range all {
		for i := range t.columns {
			if c := &t.columns[i]; c.kind == kindJSONB {
				c.pool = slices.Clone(c.pool)
				for n, v := range c.pool {
					c.pool[n] = strings.ReplaceAll(v, "12345678901234567890", "9007199254740991")
				}
			}
		}
	}
}

// addSDK adds the clients that the options ask for to the run's.
func (r *run) addSDK() *sdk {
	s := &sdk{run: r, clients: make(map[int]*sdkClient)}
	for i := range r.options.SDK {
		index := r.options.Clients + i
		c := &client{run: r, index: index, r: rand.New(rand.NewPCG(r.options.Seed, 100_000+uint64(i))), user: r.users[i%len(r.users)], settled: make(chan struct{})}
		c.proxy = "http://" + r.stage.proxies.clients[i%clientProxies].Listen
		for _, q := range r.queries {
			if q.role == c.user.role && (r.options.Query < 0 || q.index == r.options.Query) {
				c.queries = append(c.queries, q)
			}
		}
		if len(c.queries) == 0 {
			continue
		}
		c.segment = &segment{client: index, user: c.user}
		r.open(c.segment)
		r.clients = append(r.clients, c)
		s.clients[index] = &sdkClient{client: c, lists: make(map[int][]shownKey)}
	}
	return s
}

// start builds the process, starts it, and follows what it says until ctx ends.
func (s *sdk) start(ctx context.Context, group *errgroup.Group, root, dir string) error {
	file := filepath.Join(dir, "torture.mjs")
	build := exec.CommandContext(ctx, "npm", "run", "-s", "torture", "--", "--outfile="+file)
	build.Dir = filepath.Join(root, "sdk")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the SDK's clients (npm ci in sdk/ comes first): %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, "node", file)
	cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	cmd.Stderr = &said
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.input = input
	group.Go(func() error {
		err := s.follow(output)
		if ended := cmd.Wait(); ctx.Err() != nil {
			return nil
		} else if err == nil {
			err = fmt.Errorf("the SDK's process has ended: %w\n%s", ended, said.String())
		}
		return s.run.void(err)
	})
	for _, i := range slices.Sorted(maps.Keys(s.clients)) {
		if err := s.order(s.clients[i]); err != nil {
			return err
		}
	}
	return nil
}

// order tells the process of a client.
func (s *sdk) order(c *sdkClient) error {
	token, err := c.user.token()
	if err != nil {
		return err
	}
	queries := make([]json.RawMessage, len(c.queries))
	for i, q := range c.queries {
		nonce := 0
		if c.r.IntN(2) == 0 {
			nonce = 1_000_000 + c.index*1000 + i
		}
		queries[i] = json.RawMessage(q.json(nonce))
	}
	keys := make(map[string][]string)
	for _, t := range s.run.tables {
		for _, column := range t.columns[:t.keys] {
			keys[t.name] = append(keys[t.name], column.name)
		}
	}
	return s.tell(map[string]any{"client": c.index, "url": c.proxy, "token": token, "queries": queries, "keys": keys, "most": sdkMost})
}

// end asks the clients to show a position.
func (s *sdk) end(position uint64) error {
	return s.tell(map[string]any{"final": formatLSN(position)})
}

func (s *sdk) tell(what any) error {
	line, err := json.Marshal(what)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err = s.input.Write(append(line, '\n'))
	return err
}

// follow takes what the process says.
func (s *sdk) follow(output io.Reader) error {
	lines := bufio.NewReaderSize(output, 1<<20)
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return ignoreEOF(err)
		}
		var l sdkLine
		if err := json.Unmarshal(text, &l); err != nil {
			return fmt.Errorf("the SDK's process says %.300s: %w", text, err)
		}
		c := s.clients[l.Client]
		if err := c.take(&l, text); err != nil {
			s.run.breach(c.client, fmt.Errorf("the SDK's, at %s: %w", formatLSN(c.last.Load()), err))
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// take holds what a client was told against what it was told before, for the checker.
func (c *sdkClient) take(l *sdkLine, text []byte) error {
	select {
	case <-c.settled: // at the last position, which its own frames need not have come to
		return nil
	default:
	}
	if l.Position != "" {
		if err := c.advance(l); err != nil {
			return err
		}
	}
	c.segment.mu.Lock()
	defer c.segment.mu.Unlock()
	switch {
	case l.Fault != "":
		return errors.New(l.Fault)
	case l.Begin != 0:
		q := c.queries[l.Query]
		if l.Firestore {
			c.run.counts.firestore.Add(1)
		}
		sub := &live{id: l.Begin, query: q, here: true}
		sub.begin(0)
		c.follows(sub, c.segment)
		c.subs = append(c.subs, sub)
	case l.End != 0:
		return c.ended(l)
	case l.Settled:
		c.show(c.run.final.Load())
		c.once.Do(func() { close(c.settled) })
	default:
		c.segment.frames = append(c.segment.frames, received{at: len(c.segment.positions), data: text})
		c.show(c.next)
		for i := range l.Subscriptions {
			if err := c.told(&l.Subscriptions[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// advance takes the next position. It may lie before the last only where nothing is shown
// as it is any more: a server that has been started again begins somewhat earlier, and says so
// to who asks for something new, or has to wait for all rows.
func (c *sdkClient) advance(l *sdkLine) (err error) {
	if c.next, err = parseLSN(l.Position); err != nil || c.next >= c.last.Load() {
		return err
	}
	old, next := c.segment, &segment{client: c.index, user: c.user}
	old.mu.Lock()
	defer old.mu.Unlock()
	for _, sub := range c.subs {
		loading := sub.loading
		for _, told := range l.Subscriptions {
			if told.ID == sub.id {
				loading = told.Loading
			}
		}
		if sub.rows != nil && !loading {
			var before strings.Builder
			for _, f := range old.frames[max(0, len(old.frames)-6):] {
				fmt.Fprintf(&before, "\n%.300s", f.data)
			}
			return fmt.Errorf("position %s comes after %s, and subscription %d was shown there; it was told before:%s", l.Position, formatLSN(c.last.Load()), sub.id, before.String())
		}
		sub.track.end = len(old.positions)
		c.follows(sub, next)
	}
	old.over = true
	c.segment = next
	c.run.open(next)
	return nil
}

// follows begins a track of a subscription.
func (c *sdkClient) follows(sub *live, in *segment) {
	sub.track = &track{id: sub.id, query: sub.query, end: -1, live: func() map[string]uint64 { return copyHashes(sub.rows) }}
	in.tracks = append(in.tracks, sub.track)
}

func (c *sdkClient) show(position uint64) {
	c.segment.positions = append(c.segment.positions, position)
	c.last.Store(position)
}

func (c *sdkClient) ended(l *sdkLine) error {
	sub := c.find(l.End)
	if sub == nil {
		return fmt.Errorf("subscription %d has ended, which was not open", l.End)
	}
	sub.track.end = len(c.segment.positions)
	c.subs = slices.DeleteFunc(c.subs, func(other *live) bool { return other == sub })
	delete(c.lists, l.End)
	if l.Code != "" {
		c.run.counts.refused(&frame{Code: l.Code})
	}
	switch l.Code {
	case "permission-denied":
		if strings.Contains(l.Message, "access has ended") {
			return nil // the check says whether it had
		}
		fallthrough
	case "internal", "invalid-argument", "not-found":
		return fmt.Errorf("%s: %s %s", l.Code, l.Message, sub.query.json(0))
	}
	return nil
}

// told takes the steps to another list.
func (c *sdkClient) told(u *sdkTold) error {
	sub := c.find(u.ID)
	if sub == nil {
		return fmt.Errorf("changes of subscription %d, which is not open", u.ID)
	}
	list := c.lists[u.ID]
	rows := map[string][]json.RawMessage{"removed": u.Removed, "added": u.Added, "modified": u.Modified}
	for _, step := range u.Steps {
		row, err := c.run.hasher.row(sub.query.table, rows[step.Type][step.Row])
		if err != nil {
			return err
		}
		if extra := row.mask &^ sub.mask; extra != 0 {
			return leakf("columns %b of table %s are not for this role", extra, sub.query.table.name)
		}
		if step.OldIndex >= 0 {
			if step.OldIndex >= len(list) || list[step.OldIndex].key != row.key {
				return fmt.Errorf("subscription %d: %s row %s at index %d, where it is not", u.ID, step.Type, row.key, step.OldIndex)
			}
			list = slices.Delete(list, step.OldIndex, step.OldIndex+1)
		}
		if step.NewIndex >= 0 {
			if step.NewIndex > len(list) {
				return fmt.Errorf("subscription %d: %s row %s to index %d of %d", u.ID, step.Type, row.key, step.NewIndex, len(list))
			}
			list = slices.Insert(list, step.NewIndex, shownKey{key: row.key, hash: row.hash})
		}
	}
	c.lists[u.ID] = list
	sub.rows, sub.total, sub.loaded, sub.loading = make(map[string]shownRow, len(list)), 0, !u.Loading, u.Loading
	for i, row := range list {
		if _, twice := sub.rows[row.key]; twice {
			return fmt.Errorf("subscription %d shows row %s twice", u.ID, row.key)
		}
		sub.rows[row.key] = shownRow{hash: row.hash, order: fmt.Sprintf("%08d", i)}
		sub.total += scramble(row.hash)
	}
	c.run.counts.sdkSteps.Add(int64(len(u.Steps)))
	sub.track.states = append(sub.track.states, state{at: len(c.segment.positions) - 1, sum: sub.sum(), n: len(list), loading: u.Loading})
	return nil
}
