package hostile_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/wire"
)

// patience is how long an honest client waits for a commit that is due.
const patience = time.Minute

// The phases of a run.
const (
	alone int32 = iota
	disturbed
	phases
)

// honest is a client that does everything right while others on its server don't.
type honest struct {
	place *place
	way   string
	conn  wire.Conn
	query *apptest.Query
	rows  *apptest.Replica

	ended   chan struct{} // closed when run has returned
	reached chan int      // of capacity 1: the newest seen

	// The following are run's until ended is closed.
	err  error
	seen int // commits
	took [phases][]time.Duration
}

// startHonest shows the writer's notifications by one of wire's ways.
func startHonest(t *testing.T, p *place, way string) *honest {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	token := p.Token(apptest.Claims{"sub": "honest by " + way, "company_id": companyH, "roles": []string{"owner"}, "exp": time.Now().Add(24 * time.Hour).Unix()})
	conn, err := wire.Dial(ctx, way, p.URL(), token, 64<<20)
	if err != nil {
		t.Fatalf("an honest client by %s: %v", way, err)
	}
	h := &honest{place: p, way: way, conn: conn, rows: apptest.NewReplica(), ended: make(chan struct{}), reached: make(chan int, 1)}
	h.query = h.rows.Open(1)
	if _, _, err := h.read(ctx); err != nil { // the welcome, which brings the key
		t.Fatalf("an honest client by %s: %v", way, err)
	}
	if err := conn.Write(ctx, []byte(`{"type":"subscribe","id":1,"query":{"table":"notifications","columns":["kind","title"]}}`)); err != nil {
		t.Fatal(err)
	}
	for !h.query.Loaded {
		if _, _, err := h.read(ctx); err != nil {
			t.Fatalf("an honest client by %s: %v", way, err)
		}
	}
	go func() {
		defer close(h.ended)
		h.err = h.run()
	}()
	t.Cleanup(func() {
		conn.Close()
		<-h.ended
	})
	return h
}

func (h *honest) read(ctx context.Context) (*apptest.Frame, time.Time, error) {
	message, err := h.conn.Read(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	at := time.Now()
	f, err := h.rows.Receive(message)
	if err == nil && f != nil && f.Type != "data" && f.Type != "welcome" {
		err = fmt.Errorf("told %.500s", f.Raw)
	}
	return f, at, err
}

// run reads until the connection ends, and holds every frame against what was written.
func (h *honest) run() error {
	for {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		f, at, err := h.read(ctx)
		cancel()
		if err != nil {
			return err
		}
		if f == nil || len(f.Subscriptions) == 0 {
			continue
		}
		if err := h.take(f, at); err != nil {
			return fmt.Errorf("%w: %.2000s", err, f.Raw)
		}
		select { // what was there is older
		case <-h.reached:
		default:
		}
		h.reached <- h.seen
	}
}

// take checks that a frame holds the commits after those seen, whole.
func (h *honest) take(f *apptest.Frame, at time.Time) error {
	if len(f.Subscriptions) != 1 || h.query.Resets > 0 {
		return fmt.Errorf("an honest client was reset")
	}
	u := f.Subscriptions[0]
	commits := make([]int, 0, len(u.Added))
	for _, row := range u.Added {
		n, err := strconv.Atoi(fmt.Sprint(row["title"]))
		if err != nil {
			return err
		}
		commits = append(commits, n)
	}
	slices.Sort(commits)
	for _, n := range commits {
		if n != h.seen+1 {
			return fmt.Errorf("commit %d comes after %d", n, h.seen)
		}
		h.seen = n
		c := h.place.writer.commit(n)
		h.took[c.phase] = append(h.took[c.phase], at.Sub(c.at))
	}
	if len(u.Removed) > 0 || len(u.Modified) != 1 || u.Modified[0]["title"] != fmt.Sprint(h.seen) {
		return fmt.Errorf("not the state of commit %d", h.seen)
	}
	return nil
}

// judge waits until the last commit has been shown, and compares with the database.
func (h *honest) judge(t *testing.T, last int) {
	late := time.After(patience)
	for seen := 0; seen < last; {
		select {
		case seen = <-h.reached:
		case <-h.ended:
			t.Errorf("%s: the honest client by %s ended at commit %d of %d: %v", h.place.name, h.way, h.seen, last, h.err)
			return
		case <-late:
			t.Errorf("%s: the honest client by %s came to commit %d of %d", h.place.name, h.way, seen, last)
			return
		}
	}
	h.conn.Close()
	<-h.ended // what follows is read after run
	if h.seen != last || len(h.query.Rows) != last+1 {
		t.Errorf("%s: the honest client by %s shows %d rows at commit %d, the database has %d commits", h.place.name, h.way, len(h.query.Rows), h.seen, last)
	}
	h.compare(t)
}

// compare holds each row that is shown against the table's.
func (h *honest) compare(t *testing.T) {
	rows, err := h.place.DB.Query(t.Context(), `SELECT '["' || id || '"]', kind, title FROM notifications WHERE company_id = $1`, companyH)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var key, kind, title string
		if err := rows.Scan(&key, &kind, &title); err != nil {
			t.Fatal(err)
		}
		if shown := h.query.Rows[key]; shown["kind"] != kind || shown["title"] != title {
			t.Errorf("%s: by %s row %s is shown as %v, it is %s %s", h.place.name, h.way, key, shown, kind, title)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
