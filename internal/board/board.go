// Package board is the demo application of `walwire dev`: a page with two panes, each
// somebody else's view of the same database. The page is built from sdk/examples/board
// and embedded; what it writes, it writes as a backend would, with plain SQL.
package board

import (
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed all:dist
var dist embed.FS

// Person is somebody whose view can be shown.
type Person struct {
	Name  string `json:"name"`
	Label string `json:"label"`
	Token string `json:"token"`
}

// Handler serves the page, who can be shown, and the clicks. It is for this machine
// alone: it gives tokens away.
func Handler(pool *pgxpool.Pool, people func() ([]Person, error)) http.Handler {
	files, _ := fs.Sub(dist, "dist") // it is there
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /demo/people", func(w http.ResponseWriter, _ *http.Request) {
		list, err := people()
		answer(w, list, err)
	})
	mux.HandleFunc("POST /demo/do", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Action string `json:"action"`
			ID     string `json:"id"`
		}
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&body); err != nil {
			answer(w, nil, fmt.Errorf("the body is not JSON: %w", err))
			return
		}
		done, err := do(r.Context(), pool, body.Action, body.ID)
		answer(w, done, err)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.Host) || isForeign(r) {
			http.Error(w, "the demo is for this machine alone", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func isLoopback(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	ip := net.ParseIP(strings.Trim(name, "[]"))
	return strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback()
}

// isForeign tells a request that a page of another origin makes.
func isForeign(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}

func answer(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		v = map[string]string{"error": err.Error()}
	}
	_ = json.NewEncoder(w).Encode(v) // the page may be gone
}

// done is what a click came to: the SQL as it can be typed, and the position after it.
type done struct {
	SQL  string `json:"sql"`
	Rows int64  `json:"rows"`
	LSN  string `json:"lsn"`
}

// actions are the clicks: each a statement about the row with the id $1.
var actions = map[string]string{
	"confirm":    "UPDATE appointments SET status = 'confirmed', updated_at = now() WHERE id = $1",
	"check-in":   "UPDATE appointments SET status = 'checked_in', updated_at = now() WHERE id = $1",
	"start":      "UPDATE appointments SET status = 'in_progress', updated_at = now() WHERE id = $1",
	"complete":   "UPDATE appointments SET status = 'completed', updated_at = now() WHERE id = $1",
	"cancel":     "UPDATE appointments SET status = 'cancelled', updated_at = now() WHERE id = $1",
	"later":      "UPDATE appointments SET starts_at = starts_at + interval '30 min', ends_at = ends_at + interval '30 min', updated_at = now() WHERE id = $1",
	"price":      "UPDATE appointments SET price = price + 1, updated_at = now() WHERE id = $1",
	"arrive":     "UPDATE clients SET checked_in_at = now(), checked_out_at = NULL, updated_at = now() WHERE id = $1",
	"leave":      "UPDATE clients SET checked_out_at = now(), updated_at = now() WHERE id = $1",
	"available":  "UPDATE staff SET status = 'available', updated_at = now() WHERE id = $1",
	"busy":       "UPDATE staff SET status = 'busy', updated_at = now() WHERE id = $1",
	"on_break":   "UPDATE staff SET status = 'on_break', updated_at = now() WHERE id = $1",
	"off":        "UPDATE staff SET status = 'off', updated_at = now() WHERE id = $1",
	"read":       "UPDATE notifications SET read_at = now(), updated_at = now() WHERE id = $1",
	"broadcast":  "INSERT INTO notifications (company_id, kind, title, body) SELECT company_id, 'broadcast', 'Tea is ready', 'In the kitchen, for everybody.' FROM staff WHERE id = $1",
	"book":       "INSERT INTO appointments (company_id, branch_id, staff_id, client_id, service_type, starts_at, ends_at, price) SELECT s.company_id, s.branch_id, s.id, c.id, 'haircut', t.at, t.at + interval '45 min', 42 FROM staff s, (SELECT date_bin('15 min', now(), 'epoch') + interval '2 h' AS at) t, LATERAL (SELECT id FROM clients WHERE company_id = s.company_id ORDER BY random() LIMIT 1) c WHERE s.id = $1",
	"everything": "UPDATE appointments SET notes = 'Changed with ' || (SELECT count(*) FROM appointments a WHERE a.company_id = appointments.company_id) || ' others.', updated_at = now() WHERE company_id = (SELECT company_id FROM staff WHERE id = $1)",
}

func do(ctx context.Context, pool *pgxpool.Pool, action, id string) (*done, error) {
	sql, ok := actions[action]
	if !ok {
		return nil, fmt.Errorf("there is no action %q", action)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tag, err := pool.Exec(ctx, sql, id)
	if err != nil {
		return nil, err
	}
	d := &done{SQL: strings.ReplaceAll(sql, "$1", "'"+strings.ReplaceAll(id, "'", "''")+"'"), Rows: tag.RowsAffected()}
	return d, pool.QueryRow(ctx, "SELECT pg_current_wal_insert_lsn()::text").Scan(&d.LSN)
}
