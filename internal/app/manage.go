package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/stream"
)

// manage sets up publication and replica identities of the tables with the second, more
// powerful connection, which is used for nothing else. Before the first change all
// of them are looked at. Who serves those that join waits for their writers.
func (a *App) manage(ctx context.Context, cfg *mapping.Config, names []cdc.TableName) (added []cdc.TableName, err error) {
	conn, err := a.connectAdmin(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tables, err := catalogued(ctx, names, conn)
	if err != nil {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return a.publish(ctx, conn, cfg.Publication, tables)
}

// manageEach is manage for each table by itself, whatever can't be done for others.
func (a *App) manageEach(ctx context.Context, cfg *mapping.Config) (added []cdc.TableName, err error) {
	conn, err := a.connectAdmin(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tables, err := catalogued(ctx, tableNames(cfg), conn)
	if missing := (*cdc.TableError)(nil); err != nil && !errors.As(err, &missing) {
		return nil, fmt.Errorf("read the catalogue: %w", err)
	}
	return a.publishEach(ctx, conn, cfg.Publication, tables)
}

func (a *App) publishEach(ctx context.Context, conn *pgx.Conn, publication string, tables []*cdc.Table) (added []cdc.TableName, err error) {
	var errs []error
	for _, t := range tables {
		one, err := a.publish(ctx, conn, publication, []*cdc.Table{t})
		added, errs = append(added, one...), append(errs, err)
	}
	return added, errors.Join(errs...)
}

func (a *App) connectAdmin(ctx context.Context, cfg *mapping.Config) (*pgx.Conn, error) {
	if cfg.AdminDatabaseURL.IsZero() {
		return nil, errors.New("manage is true, but admin_database_url is not set")
	}
	login, err := pgx.ParseConfig(cfg.AdminDatabaseURL.Reveal())
	if err != nil {
		return nil, fmt.Errorf("parse admin_database_url: %w", err)
	}
	if login.ConnectTimeout == 0 {
		login.ConnectTimeout = 10 * time.Second
	}
	conn, err := pgx.ConnectConfig(ctx, login)
	if err != nil {
		return nil, fmt.Errorf("connect as admin: %w", err)
	}
	return conn, nil
}

func (a *App) publish(ctx context.Context, conn *pgx.Conn, publication string, tables []*cdc.Table) (added []cdc.TableName, err error) {
	if err := a.managing.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer a.managing.Release(1)
	added, err = cdc.EnsurePublication(ctx, conn, publication, tables)
	if len(added) > 0 {
		a.log.Info("tables joined the publication, with the replica identity that they need", "publication", publication, "tables", fmt.Sprint(added))
	}
	return added, err
}

// catalogued are the tables that are there; the error is of those that are not, too.
func catalogued(ctx context.Context, names []cdc.TableName, q cdc.CatalogQuerier) ([]*cdc.Table, error) {
	found, err := cdc.LoadTables(ctx, q, names)
	tables := make([]*cdc.Table, 0, len(found))
	for _, name := range names {
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
// publication. What follows is the catalogue's to tell. A server that stands by leaves
// it to the one that serves.
func (a *App) keepManaged(ctx context.Context, hub *stream.Hub, consumer *cdc.Consumer, s *cdc.Snapshotter) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var seen *stream.Schema
	var by *mapping.Config
	var known map[cdc.TableName]cdc.Fingerprint // of the tables that are not served
	var next time.Time
	wait := manageInterval
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		schema, cfg := hub.Schema(), a.live.Load()
		if !cfg.Manage || schema == nil || !consumer.Status().Connected {
			continue
		}
		if schema != seen || cfg != by {
			bounded, cancel := s.Bound(ctx)
			prints, err := cdc.Fingerprints(bounded, s.Pool(), cfg.Publication, relations(cfg, schema.Broken))
			cancel()
			if err != nil {
				continue
			}
			if cfg != by || !maps.Equal(prints, known) { // somebody may have mended what was in the way
				known, next, wait = prints, time.Time{}, manageInterval
			}
			seen, by = schema, cfg
		}
		if len(known) == 0 || time.Now().Before(next) {
			continue
		}
		if err := a.publishLacking(ctx, cfg, s, tableNames(cfg)); err != nil && ctx.Err() == nil {
			a.log.Error("what the publication lacks can't be added", "publication", cfg.Publication, "error", err, "again_in", wait)
		}
		next, wait = time.Now().Add(wait), min(2*wait, manageMost) // it may wait for locks, and others then for it
	}
}

// relations are those of the named tables.
func relations(cfg *mapping.Config, named map[string]error) (out []cdc.TableName) {
	for _, t := range cfg.Tables {
		if named[t.Name] != nil {
			out = append(out, cdc.TableName(t.Relation))
		}
	}
	return out
}

// publishLacking publishes those of the tables that the publication does not send wholly.
func (a *App) publishLacking(ctx context.Context, cfg *mapping.Config, s *cdc.Snapshotter, names []cdc.TableName) error {
	lacking, err := lacking(ctx, cfg, s, names)
	if err != nil || len(lacking) == 0 {
		return err
	}
	conn, err := a.connectAdmin(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	_, err = a.publishEach(ctx, conn, cfg.Publication, lacking)
	return err
}

func lacking(ctx context.Context, cfg *mapping.Config, s *cdc.Snapshotter, names []cdc.TableName) ([]*cdc.Table, error) {
	ctx, cancel := s.Bound(ctx)
	defer cancel()
	tables, err := catalogued(ctx, names, s.Pool())
	if missing := (*cdc.TableError)(nil); err != nil && !errors.As(err, &missing) {
		return nil, err
	}
	why, err := cdc.Unpublished(ctx, s.Pool(), cfg.Publication, tables)
	return slices.DeleteFunc(tables, func(t *cdc.Table) bool { return why[t.TableName] == nil }), err
}
