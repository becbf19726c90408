package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/mapping"
)

// checkTimeout bounds the whole look at the database and the keys of tokens.
const checkTimeout = 30 * time.Second

// checkCmd is `walwire check`.
type checkCmd struct {
	configFlags
	JSON bool `help:"Print JSON, for programs."`
	explainFlags
}

// Help explains the command.
func (checkCmd) Help() string {
	return `Reads the configuration, holds it against the database's tables, and looks at all that walwire needs there: wal_level, rights, slots, replica identities, keys, the publication, what retains WAL, and more. Where the configuration names a JWKS URL, it fetches the keys of tokens once. It changes nothing. Each finding says what is wrong and, where SQL mends it, that SQL.

  walwire check --config walwire.yaml
  walwire check --config walwire.yaml --json | jq '.findings[] | select(.severity == "fatal")'

Exits with 1 if a finding is fatal: "walwire serve" would refuse as well. A warning is for you to decide on.

Run it with the database_url that the server uses, as some findings are about its role.

With --explain it shows instead what the configuration does, as of now, before clients see it: per table the rows, the columns and the events of a role.

  walwire check --explain staff --user anna --company 7d44...

With a change it shows which events that would raise, and for whom, each as a client gets it. The change is of a row and never made (constraints and triggers are not looked at), or it is what the server's slot still holds of the log (a temporary copy of the slot is read, also while the server runs):

  walwire check --table orders --key 125e... --set status=confirmed
  walwire check --table orders --insert '{"company_id":"7d44...","starts_at":"2026-03-01 09:00Z",...}'
  walwire check --table orders --key 125e... --delete --explain owner
  walwire check --recent 10m`
}

// Run looks and reports.
func (k *checkCmd) Run(ctx context.Context, c *console) error {
	if k.explains() {
		return k.explain(ctx, c, k.configFlags, k.JSON)
	}
	report := newReport(k.Config)
	if cfg, err := k.load(); err != nil {
		report.configuration(err)
	} else {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		if err := report.database(ctx, cfg); err != nil {
			report.add(finding{Severity: cdc.SeverityFatal, Code: codeDatabase, Message: strings.Join(distinctLines(err.Error()), " "),
				Hint: loginHint(err, "database_url")})
		}
		report.jwks(ctx, cfg)
		report.schedules(ctx, cfg)
	}
	write := report.writeText
	if k.JSON {
		write = report.writeJSON
	}
	if err := write(c.out); err != nil {
		return fmt.Errorf("print the findings: %w", err)
	}
	if n := report.count(cdc.SeverityFatal); n > 0 {
		return fmt.Errorf("%s: %d fatal", k.Config, n)
	}
	return nil
}

// database adds what the database says. An error is one that can't be asked.
func (r *report) database(ctx context.Context, cfg *mapping.Config) error {
	if cfg.DatabaseURL.IsZero() {
		return errNoDatabase
	}
	conn, err := cdc.Connect(ctx, cfg.DatabaseURL.Reveal(), cfg.DatabasePasswordFile)
	if err != nil {
		return fmt.Errorf("the database can't be reached: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	found, err := app.Inspect(ctx, cfg, conn)
	if err != nil {
		return err
	}
	err = app.Compile(ctx, cfg, conn)
	var unfit mapping.Errors
	if err != nil && !errors.As(err, &unfit) {
		return err
	}
	r.configuration(err)
	for _, f := range found {
		if unfit != nil && f.Code == cdc.CodeColumnMissing {
			continue // said already, with its place in the file
		}
		r.found(f)
	}
	return nil
}

// schedules adds what their role and statements are like. The server starts without
// them, so nothing is fatal.
func (r *report) schedules(ctx context.Context, cfg *mapping.Config) {
	const subject = "schedules.database_url"
	if !cfg.Schedules.Enabled() {
		if len(cfg.Schedules.Statements) > 0 {
			r.add(finding{Severity: cdc.SeverityInfo, Code: codeSchedules, Subject: subject, Message: "is empty: the schedules are off"})
		}
		return
	}
	if sameLogin(cfg.DatabaseURL, cfg.Schedules.DatabaseURL) {
		r.add(finding{Severity: cdc.SeverityWarning, Code: codeSchedules, Subject: subject, Message: "is the role of database_url: what reads for clients may then write as well",
			Hint: "Make a role of its own with the rights that the statements need: docs/operations.md has the SQL."})
	}
	found, err := app.InspectSchedules(ctx, cfg)
	if err != nil {
		r.add(finding{Severity: cdc.SeverityWarning, Code: codeSchedules, Subject: subject, Message: "the database can't be asked: " + strings.Join(distinctLines(err.Error()), " "),
			Hint: strings.TrimSpace(loginHint(err, subject) + " The server starts without it and keeps trying.")})
	}
	for _, f := range found {
		r.found(f)
	}
}

// loginHint says what to look at where a database can't be asked.
func loginHint(err error, key string) string {
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		switch refused.Code {
		case "28P01", "28000": // invalid_password, invalid_authorization_specification
			return fmt.Sprintf("Are role and password of %s right, and does pg_hba.conf let it in?", key)
		case "3D000": // invalid_catalog_name: no such database
			return fmt.Sprintf("Create it, or name another one in %s.", key)
		}
	case errors.As(err, new(*pgconn.ParseConfigError)):
		return fmt.Sprintf("%s is like postgres://role:password@host:5432/database; characters such as @ and / in a password are written %%40 and %%2F.", key)
	case errors.As(err, new(net.Error)):
		return fmt.Sprintf("Is PostgreSQL running, and are host and port of %s its own?", key)
	}
	return ""
}

// sameLogin reports whether two URLs lead to one server as one role.
func sameLogin(a, b mapping.Secret) bool {
	x, err := pgx.ParseConfig(a.Reveal())
	y, err2 := pgx.ParseConfig(b.Reveal())
	return err == nil && err2 == nil && x.User == y.User && x.Host == y.Host && x.Port == y.Port
}

// jwks adds what the JWKS URL gives. The server starts without it, so nothing is fatal.
func (r *report) jwks(ctx context.Context, cfg *mapping.Config) {
	jwks, err := app.NewJWKS(cfg, nil)
	if jwks == nil {
		r.configuration(err)
		return
	}
	subject := "auth.jwks"
	set, err := jwks.Fetch(ctx)
	if err != nil {
		r.add(finding{Severity: cdc.SeverityWarning, Code: codeJWKS, Subject: subject, Message: "the keys of tokens can't be fetched: " + err.Error(),
			Hint: "The server starts without them and keeps trying; until then their tokens can't be checked."})
		return
	}
	r.add(finding{Severity: cdc.SeverityOK, Code: codeJWKS, Subject: subject, Message: fmt.Sprintf("the URL gives %d usable of %d keys", set.Len(), set.Len()+len(set.Ignored()))})
	for _, why := range set.Ignored() {
		r.add(finding{Severity: cdc.SeverityInfo, Code: codeJWKS, Subject: subject, Message: why})
	}
}
