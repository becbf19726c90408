package walwire

import (
	"context"
	"log/slog"
	"net/http"
	"os"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/mapping"
)

// LoadConfig reads and validates a configuration file; ${NAME} in it is a variable of
// the environment. Findings about its content are a mapping.Errors. The result may be
// changed before New gets it.
func LoadConfig(path string) (*mapping.Config, error) { return mapping.Load(path, os.LookupEnv) }

// Server serves the live queries of one database. Make it with New.
type Server struct{ app *app.App }

// New checks the configuration as far as it can be without the database. It opens no
// sockets: listen, tls and admin.listen of the configuration mean nothing here. A nil
// log is silence.
func New(cfg *mapping.Config, log *slog.Logger) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	a, err := app.Embed(cfg, log)
	if err != nil {
		return nil, err
	}
	return &Server{a}, nil
}

// Handler is what clients connect to: /v1/, /healthz and /readyz, below base_path where
// the configuration has one. Set that to where it is mounted, or take the prefix off
// (http.StripPrefix). It answers from the start, with 503 until Run serves. What stands
// before it must let an http.Hijacker through, as WebSocket needs one.
func (s *Server) Handler() http.Handler { return s.app.Handler() }

// AdminHandler is what operators see: /metrics, /debug/pprof/, /admin/v1/, /healthz and
// /readyz. With admin.token in the configuration it asks for that; without one it asks
// for nothing, so mount it only where operators alone can reach it.
func (s *Server) AdminHandler() http.Handler { return s.app.AdminHandler() }

// Reload puts another configuration in force, as far as that can be done while the
// server runs: tables, rooms, rules, users, tokens, origins and statistics. The rest of it
// counts from the next start on. An error has changed nothing.
func (s *Server) Reload(ctx context.Context, cfg *mapping.Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	return s.app.Reload(ctx, cfg)
}

// Ready is closed when the server first serves.
func (s *Server) Ready() <-chan struct{} { return s.app.Ready() }

// Run follows the database until ctx ends, which is not an error, or something can't go
// on, which needs the operator. Clients are then told to connect again, and their
// connections are done when it returns: http.Server's Shutdown does not wait for those.
// Call it once.
func (s *Server) Run(ctx context.Context) error { return s.app.Run(ctx) }
