package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed *.sql
var files embed.FS

// The schema all goes into, goose's record of what was applied, and the
// publication.
const (
	schema      = "public"
	record      = "walwire_migrations"
	publication = "walwire"
)

// tables are the tables of the reference schema.
func tables() []string {
	return []string{"companies", "branches", "staff", "clients", "appointments", "notifications"}
}

// MappedTables are the tables that walwire serves, and publishes.
func MappedTables() []pgx.Identifier {
	return []pgx.Identifier{
		{schema, "appointments"}, {schema, "clients"}, {schema, "staff"}, {schema, "notifications"},
	}
}

// ErrForeignTables is returned for a database that has tables, or a
// publication, of the reference schema's names which Up did not make.
var ErrForeignTables = errors.New("the database has objects of the reference schema's names that walwire did not make")

// Up brings the database to the newest reference schema; it does nothing in
// one that is there already. The role of url must be allowed to create tables
// in schema public and a publication in the database. Several may run at once.
func Up(ctx context.Context, url string, log *slog.Logger) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("migrate: read the database URL: %w", err)
	}
	cfg.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()
	if err := refuseForeign(ctx, db); err != nil {
		return err
	}
	return apply(ctx, db, log)
}

// apply runs what has not been applied yet.
func apply(ctx context.Context, db *sql.DB, log *slog.Logger) error {
	const lockPoll, lockPolls = 1, 300 // seconds, times
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(lockPoll, lockPolls))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(record), goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true),
		goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	for _, r := range results {
		log.Info("applied a migration", "migration", r.Source.Path, "duration", r.Duration)
	}
	if len(results) == 0 {
		log.Info("the schema is up to date")
	}
	return nil
}

// refuseForeign returns ErrForeignTables where it applies. It looks for the first migration
// in the record: those who hold it have made the tables. The record is read after what is
// there was found, which another Up may be making meanwhile, in one transaction.
func refuseForeign(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, `
		SELECT c.oid::regclass::text FROM pg_class c
		WHERE c.relnamespace = to_regnamespace($1) AND c.relname = ANY($2)
		UNION ALL
		SELECT 'publication ' || pubname FROM pg_publication WHERE pubname = $3
		ORDER BY 1`, schema, tables(), publication)
	if err != nil {
		return fmt.Errorf("migrate: look for tables: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var found []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return fmt.Errorf("migrate: look for tables: %w", err)
		}
		found = append(found, name)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("migrate: look for tables: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	ours, err := applied(ctx, db)
	if err == nil && !ours {
		err = fmt.Errorf("migrate: %w: %s. Nothing was changed."+
			" Use an empty database; or map the existing tables in the config: that needs no migration",
			ErrForeignTables, strings.Join(found, ", "))
	}
	return err
}

// applied says whether the record has the first migration.
func applied(ctx context.Context, db *sql.DB) (bool, error) {
	var exists bool
	err := db.QueryRowContext(ctx, `SELECT to_regclass($1) IS NOT NULL`, schema+"."+record).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("migrate: look for the record of migrations: %w", err)
	}
	if !exists {
		return false, nil
	}
	var ours bool
	err = db.QueryRowContext(ctx,
		`SELECT EXISTS (SELECT FROM `+record+` WHERE version_id = 1 AND is_applied)`).Scan(&ours)
	if err != nil {
		return false, fmt.Errorf("migrate: read the record of migrations: %w", err)
	}
	return ours, nil
}
