package stream_test

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// disturbedOptions serve tables of these names and key types.
func disturbedOptions(tables ...[2]string) apptest.Options {
	o := apptest.Options{Config: lifeHead}
	var names []string
	for _, t := range tables {
		o.Schema += `CREATE TABLE ` + t[0] + ` (id ` + t[1] + ` PRIMARY KEY, company int NOT NULL, v int); ALTER TABLE ` + t[0] + ` REPLICA IDENTITY FULL; `
		o.Config += "  " + t[0] + ": {table: public." + t[0] + ", company: company, roles: {owner: {rows: true, columns: \"*\"}}}\n"
		o.Tables = append(o.Tables, pgx.Identifier{"public", t[0]})
		names = append(names, t[0])
	}
	o.Schema += `CREATE PUBLICATION walwire FOR TABLE ` + strings.Join(names, ", ")
	return o
}

// stopper holds up a company: the goroutine that logs a failed snapshot, until it is
// let go. It tells when the schema is read again.
type stopper struct {
	slog.Handler
	held, let, reload chan struct{}
}

func (s *stopper) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "reading the schema again" {
		select {
		case s.reload <- struct{}{}:
		default:
		}
	}
	if strings.HasPrefix(r.Message, "snapshot failed") {
		select {
		case s.held <- struct{}{}:
			<-s.let
		default:
		}
	}
	return s.Handler.Handle(ctx, r)
}

func (s *stopper) WithAttrs(a []slog.Attr) slog.Handler {
	return &stopper{s.Handler.WithAttrs(a), s.held, s.let, s.reload}
}

// A table is altered while a company is held up, and then its inbox overflows: what
// the company knows afterwards is the newer log, not that of the alteration.
func TestOverflowAfterAlter(t *testing.T) {
	stop := &stopper{apptest.Logger(t).Handler(), make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)}
	o := disturbedOptions([2]string{"k", "int"}, [2]string{"m", "int"}, [2]string{"z", "int"})
	o.Tuning, o.Log = app.Tuning{InboxBytes: 10_000, CatalogInterval: lookOften}, slog.New(stop)
	s := apptest.Start(t, o)
	s.Exec(`INSERT INTO k VALUES (1, 1, 1); INSERT INTO m VALUES (1, 1, 1)`)
	const query = `{"table":"k","where":[["id","<",100]]}`
	stays, leaves := s.Connect(s.Owner("1")), s.Connect(s.Owner("1"))
	stays.Open(1, `{"table":"m"}`)
	q := leaves.Open(1, query)
	s.Wait(leaves)
	leaves.Close()
	routed := s.Connect(s.Owner("2")) // of a company that nothing holds up

	locker := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, locker, `BEGIN; LOCK TABLE z IN ACCESS EXCLUSIVE MODE`)
	stays.Subscribe(2, `{"table":"z"}`)
	<-stop.held
	pgtest.MustExec(t, locker, `ROLLBACK`)
	s.Exec(`ALTER TABLE m ADD COLUMN extra int`)
	s.Exec(`INSERT INTO m VALUES (2, 1, 2)`)
	<-stop.reload
	s.Wait(routed) // behind it
	s.Exec(`BEGIN; UPDATE k SET v = 2 WHERE id = 1; INSERT INTO k SELECT n, 1, n FROM generate_series(1000, 3000) n; COMMIT`)
	s.Wait(routed)
	close(stop.let)
	s.Wait(stays)

	back := s.Connect(s.Owner("1"))
	back.Resume(1, query, q, leaves.Cursor)
	s.Wait(back)
	if v := number(q.Rows["[1]"]["v"]); v != 2 {
		t.Errorf("after %d resumes and %d resets it shows %d, want 2", q.Resumes, q.Resets, v)
	}
}

// A client that names its company in capitals connects while no table is served, and
// gets the company's changes once one is.
func TestCompanyWhileNothingServed(t *testing.T) {
	const company = "0c1daaaa-0000-4000-8000-00000000abcd"
	o := disturbedOptions([2]string{"m", "int"})
	o.Schema = strings.Replace(o.Schema, "company int", "company uuid", 1)
	o.Tuning = app.Tuning{CatalogInterval: lookOften}
	s := apptest.Start(t, o)
	s.Exec(`INSERT INTO m VALUES (1, '` + company + `', 1)`)
	before := s.Connect(s.Owner(company))
	ended := before.Open(1, `{"table":"m"}`)
	s.Exec(`ALTER PUBLICATION walwire DROP TABLE m`)
	for ended.Err == nil {
		before.Read()
	}
	c := s.Connect(s.Owner(strings.ToUpper(company)))
	s.Exec(`ALTER PUBLICATION walwire ADD TABLE m`)
	var q *apptest.Query
	for id := 1; q == nil || q.Err != nil; id++ {
		q = c.Subscribe(id, `{"table":"m"}`)
		for !q.Loaded && q.Err == nil {
			c.Read()
		}
	}
	s.Exec(`UPDATE m SET v = 2`)
	s.Wait(c)
	if v := number(q.Rows["[1]"]["v"]); v != 2 {
		t.Errorf("it shows %d, want 2", v)
	}
}

// A key that becomes another spelling of an equal value is another row to a client.
func TestKeySpelling(t *testing.T) {
	for _, k := range []struct{ kind, from, to string }{
		{"numeric", "1.0", "1.00"}, {"float8", "0", "'-0'"}, {"interval", "'1 day'", "'24:00'"}, {"char(4)", "'a'", "'a '"},
		{"jsonb", "'1.0'", "'1.00'"}, {"numeric[]", "'{1.0}'", "'{1.00}'"},
	} {
		t.Run(k.kind, func(t *testing.T) {
			s := apptest.Start(t, disturbedOptions([2]string{"m", k.kind}))
			s.Exec(`INSERT INTO m VALUES (` + k.from + `, 1, 1)`)
			c := s.Connect(s.Owner("1"))
			q := c.Open(1, `{"table":"m"}`)
			s.Exec(`UPDATE m SET id = ` + k.to)
			s.Wait(c) // the replica refuses a frame that is not of its rows
			if len(q.Rows) != 1 {
				t.Errorf("it shows %v, want one row", q.Rows)
			}
			s.Exec(`DELETE FROM m`)
			s.Wait(c)
			if len(q.Rows) != 0 {
				t.Errorf("it shows %v, want nothing", q.Rows)
			}
		})
	}
}

// An administrator cancels the SELECT that fills a window again: it is run again.
func TestSnapshotCanceled(t *testing.T) {
	s := startCards(t, app.Tuning{})
	s.Exec(`INSERT INTO cards SELECT n, 1, 1, n, md5(n::text), NULL FROM generate_series(1, 300000) n`)
	c := s.Connect(s.Owner("1"))
	waitLong(t, s, c)
	q := c.Open(1, `{"table":"cards","orderBy":["title"],"limit":1}`)
	s.Wait(c)
	admin := pgtest.MustConnect(t, s.AdminURL)
	canceling, stop := context.WithCancel(t.Context())
	defer stop()
	var hits atomic.Int64
	canceled := make(chan struct{})
	go func() {
		defer close(canceled)
		for hits.Load() < 5 { // one may come when the SELECT has just ended
			var n int64
			err := admin.QueryRow(canceling, `SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE datname = current_database()
				AND query LIKE 'SELECT%ORDER BY%LIMIT%' AND state = 'active' AND pid <> pg_backend_pid()`).Scan(&n)
			if err != nil {
				return
			}
			hits.Add(n)
		}
	}()
	for tries := 0; tries == 0 || hits.Load() == 0 && tries < 20; tries++ { // a SELECT may be over before it is found
		s.Exec(`DELETE FROM cards WHERE id IN (SELECT id FROM cards ORDER BY title COLLATE "C" LIMIT 60)`)
		s.Wait(c)
	}
	stop()
	<-canceled
	if hits.Load() == 0 {
		t.Error("no SELECT was canceled")
	}
	if q.Err != nil || len(q.Rows) != 1 {
		t.Errorf("it shows %v, ended by %v", q.Rows, q.Err)
	}
}

// A query that has grown beyond limits.rows and goes on without rows is not ended
// by another client that asks for them.
func TestRowsRefusedToAnother(t *testing.T) {
	s := apptest.Start(t, apptest.Options{Schema: cardsSchema, Tables: []pgx.Identifier{{"public", "cards"}}, Config: cardsConfig,
		Edit: func(c *mapping.Config) { c.Limits.Rows = 5 }})
	s.Exec(`INSERT INTO cards SELECT n, 1, 1, n, 't', NULL FROM generate_series(1, 4) n`)
	const filter = `{"table":"cards","where":[["board","==",1]]}`
	c := s.Connect(s.Owner("1"))
	q := c.Open(1, filter)
	s.Exec(`INSERT INTO cards SELECT n, 1, 1, n, 't', NULL FROM generate_series(11, 20) n`)
	s.Wait(c)
	c.Send(`{"type":"unsubscribe","id":1}`)
	for c.Read().Type != "unsubscribed" { // else its view may still be there, with all rows
	}
	back := s.Connect(s.Owner("1"))
	back.Resume(1, filter, q, c.Cursor)
	other := s.Connect(s.Owner("1"))
	refused := other.Subscribe(1, filter)
	for !refused.Loaded && refused.Err == nil {
		other.Read()
	}
	if refused.Err == nil || refused.Err.Code != "resource-exhausted" {
		t.Errorf("the other got %d rows and %v", len(refused.Rows), refused.Err)
	}
	s.Exec(`INSERT INTO cards VALUES (30, 1, 1, 30, 't', NULL)`)
	s.Wait(back)
	if q.Err != nil || len(q.Rows) != 15 {
		t.Errorf("it shows %d rows, ended by %v", len(q.Rows), q.Err)
	}
}
