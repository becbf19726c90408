package demo

import (
	"log/slog"
	"testing"

	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/migrations"
)

// TestActions runs each action often enough that it finds something to do.
func TestActions(t *testing.T) {
	url := pgtest.Database(t)
	if err := migrations.Up(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := Seed(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	conn := pgtest.MustConnect(t, url)
	home, other := companies()[0], companies()[1]
	const otherRows = `SELECT hashtext(string_agg(a::text, '' ORDER BY id)) FROM appointments a WHERE company_id = $1`
	var before, after int
	if err := conn.QueryRow(t.Context(), otherRows, other.id()).Scan(&before); err != nil {
		t.Fatal(err)
	}
	// Somebody who did not come.
	pgtest.MustExec(t, conn, `UPDATE appointments SET starts_at = now() - interval '2 hours', ends_at = now() - interval '1 hour'
		WHERE company_id = $1 AND status = 'pending'`, home.id())
	done := make(map[string]int64)
	for range 400 {
		for _, a := range actions() {
			done[a.name] += pgtest.MustExec(t, conn, a.sql, home.id()).RowsAffected()
		}
	}
	for _, a := range actions() {
		if done[a.name] == 0 {
			t.Errorf("%s: never did anything", a.name)
		}
	}
	if err := conn.QueryRow(t.Context(), otherRows, other.id()).Scan(&after); err != nil {
		t.Fatal(err)
	}
	if before != after {
		t.Error("an action in one company touched the other")
	}
	var appointments, notifications int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM appointments WHERE company_id = $1),
		(SELECT count(*) FROM notifications WHERE company_id = $1)`, home.id()).Scan(&appointments, &notifications); err != nil {
		t.Fatal(err)
	}
	if appointments > 400 || notifications > 200 {
		t.Errorf("the company has grown to %d appointments and %d notifications", appointments, notifications)
	}
}
