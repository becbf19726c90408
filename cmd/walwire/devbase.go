package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/walwire/walwire"
	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/internal/board"
	"github.com/walwire/walwire/internal/demo"
	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/migrations"
)

const (
	devRole          = "walwire"           // what the server runs as
	devSchedulesRole = "walwire_schedules" // and its schedules
	devEvery         = 10 * time.Second    // the schedules' interval: a demo is watched
	devTokenTTL      = 24 * time.Hour
	// secretFile holds the tokens' secret in a kept data directory, so that
	// tokens survive a restart.
	secretFile = "token_secret"
)

// devBase is what the server of `walwire dev` stands on: a private PostgreSQL
// with the demo in it, roles, and a secret.
type devBase struct {
	cluster  *pgserver.Server
	password string // of the roles
	secret   string // that tokens are signed with
}

// startDevBase makes it all. On an error nothing is left running.
func startDevBase(ctx context.Context, dataDir string, log *slog.Logger) (*devBase, error) {
	cluster, err := pgserver.Start(ctx, pgserver.Options{DataDir: dataDir, Log: log})
	if err != nil {
		return nil, fmt.Errorf("start the private PostgreSQL: %w", err)
	}
	b := &devBase{cluster: cluster, password: randomSecret()}
	if err := b.fill(ctx, dataDir, log); err != nil {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), devStopTime)
		defer cancel()
		return nil, errors.Join(err, b.stop(stop))
	}
	return b, nil
}

func (b *devBase) fill(ctx context.Context, dataDir string, log *slog.Logger) (err error) {
	if b.secret, err = keptSecret(dataDir); err != nil {
		return err
	}
	if err := migrations.Up(ctx, b.url(), log); err != nil {
		return err
	}
	if err := demo.Seed(ctx, b.url()); err != nil {
		return err
	}
	if err := migrations.Role(ctx, b.url(), devRole, b.password, migrations.MappedTables()); err != nil {
		return err
	}
	return migrations.SchedulesRole(ctx, b.url(), devSchedulesRole, b.password)
}

// url is that of a role that may do everything: it is a toy's.
func (b *devBase) url() string { return b.cluster.URL() }

func (b *devBase) stop(ctx context.Context) error {
	if err := b.cluster.Stop(ctx); err != nil {
		return fmt.Errorf("stop the private PostgreSQL: %w", err)
	}
	return nil
}

// psql is how to call psql: the one beside the server's programs where there is
// none in PATH.
func (b *devBase) psql() string {
	if _, err := exec.LookPath("psql"); err != nil && b.cluster.BinDir() != "" {
		beside := filepath.Join(b.cluster.BinDir(), "psql")
		if _, err := os.Stat(beside); err == nil {
			return beside
		}
	}
	return "psql"
}

// config is the reference configuration. Its variables are set here alone, so
// that nothing of the user's environment reaches the demo.
func (b *devBase) config(listen, admin string) (*mapping.Config, error) {
	serverURL, err := url.Parse(b.url())
	if err != nil {
		return nil, errors.New("the private PostgreSQL has no usable URL") // the error would quote it
	}
	as := func(role string) string {
		serverURL.User = url.UserPassword(role, b.password)
		return serverURL.String()
	}
	values := map[string]string{envDatabaseURL: as(devRole), envSchedulesDatabaseURL: as(devSchedulesRole), envTokenSecret: b.secret, envListen: listen, envAdminListen: admin}
	cfg, err := mapping.Parse(walwire.ExampleConfigName, []byte(walwire.ExampleConfig()), func(name string) (string, bool) {
		v, ok := values[name]
		return v, ok
	})
	if err != nil {
		return nil, err
	}
	for i := range cfg.Schedules.Statements {
		cfg.Schedules.Statements[i].Every = devEvery
	}
	return cfg, nil
}

// devFacts is what the ready file holds.
type devFacts struct {
	URL         string            `json:"url"`
	WS          string            `json:"ws"`
	AdminURL    string            `json:"admin_url"` // "" where it is off
	DatabaseURL string            `json:"database_url"`
	Tokens      map[string]string `json:"tokens"`
}

// facts are those of a server at address, with a token for each of the demo's people.
func (b *devBase) facts(cfg *mapping.Config, address, admin string) (devFacts, error) {
	address = reachable(address)
	ws, err := streamURL(address)
	if err != nil {
		return devFacts{}, err
	}
	key, err := signingKey(cfg, "")
	if err != nil {
		return devFacts{}, err
	}
	facts := devFacts{URL: address, WS: ws, AdminURL: reachable(admin), DatabaseURL: b.url(), Tokens: make(map[string]string)}
	for name, person := range demo.Principals() {
		facts.Tokens[name], err = auth.Sign(key, signable(cfg, person.Claims()), devTokenTTL)
		if err != nil {
			return devFacts{}, err
		}
	}
	return facts, nil
}

// people are whose views the page shows, each with a token.
func (b *devBase) people(cfg *mapping.Config) ([]board.Person, error) {
	facts, err := b.facts(cfg, "http://127.0.0.1", "")
	if err != nil {
		return nil, err
	}
	people := []board.Person{
		{Name: "owner", Label: "Owner"}, {Name: "receptionist", Label: "Receptionist: no prices"},
		{Name: "staff", Label: "Staff: own appointments"}, {Name: "client", Label: "Client: themselves"},
		{Name: "other_company_owner", Label: "Owner of the other company"},
	}
	for i := range people {
		people[i].Token = facts.Tokens[people[i].Name]
	}
	return people, nil
}

// keptSecret is the tokens' secret: random, and with a data directory the one
// that lies there.
func keptSecret(dataDir string) (string, error) {
	if dataDir == "" {
		return randomSecret(), nil
	}
	path := filepath.Join(dataDir, secretFile)
	kept, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(kept)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the tokens' secret: %w", err)
	}
	secret := randomSecret()
	if err := os.WriteFile(path, []byte(secret+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the tokens' secret: %w", err)
	}
	return secret, nil
}

// randomSecret has 256 bits, in hex: a password that needs no quoting anywhere.
func randomSecret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
