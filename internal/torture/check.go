package torture

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// checker holds what clients showed against the history.
type checker struct {
	run *run
}

// shownTrack is a track to be checked, with the connection it is of.
type shownTrack struct {
	*portion
	*track
}

// question is what PostgreSQL is asked once for all who asked the server the same.
type question struct {
	query   *query
	user    *user
	variant int
}

// check takes what every client has shown since the last time and checks it.
func (c *checker) check(ctx context.Context) error {
	oldest := c.run.oldestShown() // before anything is taken: what comes meanwhile is compared the next time
	var most, least uint64 = 0, forever
	asked := make(map[question][]shownTrack)
	for _, s := range c.run.segments() {
		p := s.portion()
		if most = max(most, p.last()); len(p.positions) > 0 {
			least = min(least, p.last())
		}
		for i := range p.tracks {
			t := &p.tracks[i]
			if len(t.states) == 0 {
				continue
			}
			q := question{query: t.query, user: p.user, variant: p.variant}
			asked[q] = append(asked[q], shownTrack{p, t})
		}
	}
	events := make(map[*client][]piece)
	for _, cl := range c.run.clients {
		if cl.feed == nil {
			continue
		}
		pieces := cl.feed.takePieces()
		if n := len(pieces); n > 0 {
			events[cl], most = pieces, max(most, pieces[n-1].to)
		}
	}
	if err := c.run.awaitHistory(ctx, most); err != nil {
		return err
	}
	if err := c.run.store.flush(ctx); err != nil {
		return err
	}
	for q, tracks := range asked {
		if err := c.answer(ctx, q, tracks); err != nil {
			return err
		}
		if c.run.failed() {
			return nil
		}
	}
	if err := c.checkEvents(ctx, events); err != nil || c.run.failed() {
		return err
	}
	return c.forget(ctx, oldest)
}

// forget drops the history that nobody is going to be compared with: what
// ended before the oldest state that anybody still shows.
func (c *checker) forget(ctx context.Context, oldest uint64) error {
	gone := c.run.versions.forget(oldest)
	if len(gone) < 1000 {
		return nil
	}
	return c.run.store.forget(ctx, gone)
}

// answer compares all tracks of one question.
func (c *checker) answer(ctx context.Context, q question, tracks []shownTrack) error {
	a := &answers{checker: c, question: q}
	for _, t := range tracks {
		at, ok, err := c.compare(ctx, a, t)
		if err != nil {
			return err
		}
		if !ok {
			return c.run.diverged(ctx, q, t, a, at)
		}
	}
	return c.crossCheck(ctx, a, tracks[len(tracks)-1])
}

// answers are a question's: with the rights that the user has by default, and with those
// to see all rows of the company. Each is asked for when it is needed.
type answers struct {
	checker *checker
	question
	known [2][]interval
}

func (a *answers) rows(ctx context.Context, wide bool) ([]interval, error) {
	i := 0
	if wide && accessOf(a.query.table, a.query.role, a.variant).widened() {
		i = 1
	}
	if a.known[i] != nil {
		return a.known[i], nil
	}
	began := time.Now()
	orderBy := ""
	if a.query.order != nil {
		orderBy = a.query.order.sql
	}
	ids, err := a.checker.run.store.matching(ctx, a.query.table, a.query.condition(a.user, a.variant, wide), orderBy)
	if err != nil {
		return nil, err
	}
	a.known[i] = a.checker.intervals(a.question, ids)
	counts := a.checker.run.counts
	counts.asked.Add(1)
	counts.askTime.Add(int64(time.Since(began)))
	return a.known[i], nil
}

// interval is a row of a query's answer from one commit to another.
type interval struct {
	from, to uint64
	rank     int // its place in the order
	hash     uint64
	version  *version
}

// intervals gives the versions in the order in which they begin.
func (c *checker) intervals(q question, ids []int64) []interval {
	v := c.run.versions
	v.mu.RLock()
	defer v.mu.RUnlock()
	columns := q.query.shown(q.variant)
	out := make([]interval, 0, len(ids))
	for rank, id := range ids {
		if row := v.byID[id]; row != nil {
			out = append(out, interval{from: row.from, to: row.to, rank: rank, hash: row.masked(columns), version: row})
		}
	}
	slices.SortFunc(out, func(a, b interval) int { return cmp.Compare(a.from, b.from) })
	return out
}

// sweep is the expected state of a query as positions go by.
type sweep struct {
	order  *order
	rows   []interval // by from
	ends   []interval // by to
	next   int        // of rows
	ended  int        // of ends
	sum    uint64     // of a set
	n      int
	list   []int // ordered: indices of rows there, by rank
	byRank map[int]int
	stale  bool
}

func newSweep(rows []interval, o *order) *sweep {
	s := &sweep{order: o, rows: rows, ends: slices.Clone(rows)}
	slices.SortFunc(s.ends, func(a, b interval) int { return cmp.Compare(a.to, b.to) })
	if o != nil {
		s.byRank = make(map[int]int, len(rows))
		for i := range rows {
			s.byRank[rows[i].rank] = i
		}
	}
	return s
}

// to moves to a position, which never goes back, and gives the state there.
func (s *sweep) to(position uint64) (sum uint64, n int) {
	for ; s.next < len(s.rows) && s.rows[s.next].from <= position; s.next++ {
		s.add(&s.rows[s.next])
	}
	for ; s.ended < len(s.ends) && s.ends[s.ended].to <= position; s.ended++ {
		s.remove(&s.ends[s.ended])
	}
	if s.order == nil || !s.stale {
		return s.sum, s.n
	}
	s.sum, s.n, s.stale = 0, 0, false
	for _, rank := range s.window() {
		s.sum = fold(s.sum, s.rows[s.byRank[rank]].hash)
		s.n++
	}
	return s.sum, s.n
}

func (s *sweep) add(r *interval) {
	if s.order == nil {
		s.sum += scramble(r.hash)
		s.n++
		return
	}
	at, _ := slices.BinarySearch(s.list, r.rank)
	s.list, s.stale = slices.Insert(s.list, at, r.rank), true
}

func (s *sweep) remove(r *interval) {
	if s.order == nil {
		s.sum -= scramble(r.hash)
		s.n--
		return
	}
	at, _ := slices.BinarySearch(s.list, r.rank)
	s.list, s.stale = slices.Delete(s.list, at, at+1), true
}

// window are the ranks that a client shows.
func (s *sweep) window() []int {
	switch k := s.order.limit; {
	case k == 0 || k >= len(s.list):
		return s.list
	case s.order.last:
		return s.list[len(s.list)-k:]
	default:
		return s.list[:k]
	}
}

// compare looks at every position of a track and gives the first that is wrong.
func (c *checker) compare(ctx context.Context, a *answers, t shownTrack) (at int, ok bool, err error) {
	sweeps := make(map[bool]*sweep)
	end := len(t.positions)
	if t.end >= 0 {
		end = min(t.end, end)
	}
	now := 0
	compared := int64(0)
	defer func() { c.run.counts.compared.Add(compared) }()
	for i := t.states[0].at; i < end; i++ {
		for now+1 < len(t.states) && t.states[now+1].at <= i {
			now++
		}
		compared++
		g := c.run.versions.grantAt(a.user.index, t.positions[i])
		if !g.active {
			return i, false, nil
		}
		if t.states[now].loading { // it says that it shows nothing yet
			c.run.counts.loading.Add(1)
			continue
		}
		s := sweeps[g.wide]
		if s == nil {
			rows, err := a.rows(ctx, g.wide)
			if err != nil {
				return i, false, err
			}
			s = newSweep(rows, a.query.order)
			sweeps[g.wide] = s
		}
		if sum, n := s.to(t.positions[i]); sum == t.states[now].sum && n == t.states[now].n {
			continue
		}
		if !c.run.versions.forgive(t.query.table, t.positions[i]) {
			return i, false, nil
		}
		c.run.counts.forgiven.Add(1)
	}
	return 0, true, nil
}

func (q question) String() string {
	return fmt.Sprintf("query %d of %s (company %d), configuration %d: %s", q.query.index, q.user.id, q.user.company, q.variant, q.query.json(0))
}
