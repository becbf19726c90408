package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/stream"
)

// manage sets up publication and replica identities with the second, more
// powerful connection, which is used for nothing else.
func (a *App) manage(ctx context.Context, cfg *mapping.Config, s *cdc.Snapshotter, again bool) error {
	if cfg.AdminDatabaseURL.IsZero() {
		return errors.New("manage is true, but admin_database_url is not set")
	}
	conn, err := pgx.Connect(ctx, cfg.AdminDatabaseURL.Reveal())
	if err != nil {
		return fmt.Errorf("connect as admin: %w", err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	tables, err := catalogued(ctx, cfg, conn)
	if missing := (*cdc.TableError)(nil); err != nil && !(again && errors.As(err, &missing)) {
		return fmt.Errorf("read the catalogue: %w", err)
	}
	a.managing.Lock()
	added, err := cdc.EnsurePublication(ctx, conn, cfg.Publication, tables)
	a.managing.Unlock()
	if err != nil {
		return err
	}
	if len(added) == 0 {
		a.log.Info("publication and replica identities are as they should be", "publication", cfg.Publication)
		return nil
	}
	a.log.Info("tables joined the publication, with the replica identity that they need", "publication", cfg.Publication, "tables", fmt.Sprint(added))
	a.starting(errors.New("waiting for the transactions that were open when tables joined the publication"))
	return cdc.WaitAdded(ctx, s.Pool(), a.log, added)
}

// catalogued are the tables that are there; the error is of those that are not, too.
func catalogued(ctx context.Context, cfg *mapping.Config, q cdc.CatalogQuerier) ([]*cdc.Table, error) {
	found, err := cdc.LoadTables(ctx, q, tableNames(cfg))
	tables := make([]*cdc.Table, 0, len(found))
	for _, name := range tableNames(cfg) {
		if t := found[name]; t != nil {
			tables = append(tables, t)
		}
	}
	return tables, err
}

// manageInterval is when a managed publication that lacks something is looked at again,
// twice as long each time, up to manageMost.
const (
	manageInterval = 10 * time.Second
	manageMost     = 10 * time.Minute
)

// keepManaged adds what tables that are served get, such as a partition, to a managed
// publication. What follows is the catalogue's to tell.
func (a *App) keepManaged(ctx context.Context, hub *stream.Hub, s *cdc.Snapshotter) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var seen *stream.Schema
	var next time.Time
	wait := manageInterval
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		cfg, schema := a.live.Load(), hub.Schema()
		if !cfg.Manage || schema == nil || len(schema.Broken) == 0 || schema == seen && time.Now().Before(next) {
			continue
		}
		if schema != seen {
			seen, wait = schema, manageInterval
		}
		if err := a.publishLacking(ctx, cfg, s); err != nil && ctx.Err() == nil {
			a.log.Error("what the publication lacks can't be added", "publication", cfg.Publication, "error", err, "again_in", wait)
		}
		next, wait = time.Now().Add(wait), min(2*wait, manageMost) // it may wait for locks, and others then for it
	}
}

func (a *App) publishLacking(ctx context.Context, cfg *mapping.Config, s *cdc.Snapshotter) error {
	tables, err := catalogued(ctx, cfg, s.Pool())
	if missing := (*cdc.TableError)(nil); err != nil && !errors.As(err, &missing) {
		return err
	}
	lacking, err := cdc.Unpublished(ctx, s.Pool(), cfg.Publication, tables)
	if err != nil || len(lacking) == 0 {
		return err
	}
	conn, err := pgx.Connect(ctx, cfg.AdminDatabaseURL.Reveal())
	if err != nil {
		return fmt.Errorf("connect as admin: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	a.managing.Lock()
	defer a.managing.Unlock()
	var errs []error
	for _, t := range tables {
		if lacking[t.TableName] == nil {
			continue
		}
		added, err := cdc.EnsurePublication(ctx, conn, cfg.Publication, []*cdc.Table{t})
		if len(added) > 0 {
			a.log.Info("a table joined the publication, with the replica identity that it needs", "publication", cfg.Publication, "table", t.TableName)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
