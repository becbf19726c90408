package faults_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

// Another table is mapped while clients are connected and writers run, of which one has
// written to that table and not committed: nobody is disconnected or loses anything, and
// the first rows of the new table are exact.
func TestReloadUnderClients(t *testing.T) {
	clients := 200
	if n, err := strconv.Atoi(os.Getenv(envClients)); err == nil {
		clients = n
	}
	admin := pgtest.Database(t)
	s := apptest.Start(t, apptest.Options{
		AdminURL: admin, Config: itemsConfig, Tables: []pgx.Identifier{{"public", "items"}, {"public", "bills"}},
		Schema: itemsSchema + `; CREATE TABLE bills (id int PRIMARY KEY, company int NOT NULL, v int NOT NULL);
			ALTER TABLE bills REPLICA IDENTITY FULL; -- else setting it waits for the open transaction
			INSERT INTO bills SELECT n, 1 + n % 4, 0 FROM generate_series(1, 400) n`,
		Edit: func(c *mapping.Config) { c.Manage, c.AdminDatabaseURL = true, mapping.NewSecret(admin) },
	})
	f := newFleet(t, s.WS)
	w := startWriters(t, s.AdminURL, 2, 5*time.Millisecond)
	for n := range clients {
		f.join(1+n%companies, s.Owner(fmt.Sprint(1+n%companies)), filter(n/companies%groups))
		if n%100 == 99 {
			f.answered()
		}
	}
	f.answered()
	before := f.tally()

	open := pgtest.MustConnect(t, s.AdminURL)
	pgtest.MustExec(t, open, `BEGIN; INSERT INTO bills VALUES (1001, 1, 7); UPDATE bills SET v = 7 WHERE id = 4`)
	bills := startBills(t, s.AdminURL)
	begun, done := time.Now(), make(chan error, 1)
	go func() {
		done <- s.Reload(func(c *mapping.Config) {
			c.Tables = append(c.Tables, mapping.TableConfig{
				Name: "bills", Relation: mapping.Relation{Schema: "public", Name: "bills"}, Company: "company",
				Roles: []mapping.RoleConfig{{Name: "owner", Rows: mapping.Expression{Text: "true"}, Columns: mapping.ColumnList{All: true}}},
			})
		})
	}()
	w.more(t, 200)
	select {
	case err := <-done:
		t.Fatalf("put in force before the open transaction has ended: %v", err)
	default:
	}
	pgtest.MustExec(t, open, `UPDATE bills SET v = v + 1 WHERE id = 1001; COMMIT`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	var late []*apptest.Client
	var queries []*apptest.Query
	for n := range 40 {
		late = append(late, s.Connect(s.Owner(fmt.Sprint(1+n%companies))))
		queries = append(queries, late[n].Open(1, `{"table":"bills"}`))
	}
	w.more(t, 200)
	w.stop()
	bills()
	f.mustEqual(s)
	for n, c := range late {
		s.Wait(c)
		var want, got int
		s.Scan(&want, `SELECT coalesce(sum(v * 10000 + id), 0) FROM bills WHERE company = $1`, 1+n%companies)
		for _, r := range queries[n].Rows {
			got += number(r["v"])*10000 + number(r["id"])
		}
		if got != want {
			t.Errorf("client %d of the new table shows %d rows that sum up to %d, SELECT gives %d", n, len(queries[n].Rows), got, want)
		}
	}
	sum := f.tally().minus(before)
	if sum.welcomes != 0 || sum.resets != 0 {
		t.Errorf("%d connections were made anew, %d queries begun anew", sum.welcomes, sum.resets)
	}
	t.Logf("%d clients: the new table was served %s after the file was read, with a transaction open meanwhile; 0 disconnected", clients, took.Round(time.Millisecond))
}

// startBills changes bills until stop, which waits for the last commit.
func startBills(t *testing.T, url string) (stop func()) {
	t.Helper()
	conn := pgtest.MustConnect(t, url)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for n := 2000; ctx.Err() == nil; n++ {
			if _, err := conn.Exec(context.Background(), `WITH new AS (INSERT INTO bills VALUES ($1, 1 + $1 % 4, 1)) UPDATE bills SET v = v + 1 WHERE id = 5 + $1 % 300`, n); err != nil {
				t.Errorf("write bills: %v", err)
				return
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
