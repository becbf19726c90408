package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/stream"
)

// follow serves one history of the database after the other: nothing that was
// kept of one means anything in the next. Where another server has taken over, its own
// clients are told to go there, and it stands by.
func (a *App) follow(ctx context.Context) error {
	metrics := stream.NewMetrics()
	if err := metrics.Register(a.registry); err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	if err := a.registerSlot(); err != nil {
		return err
	}
	if err := a.registerReload(); err != nil {
		return err
	}
	for again := false; ; again = true {
		err := a.followHistory(ctx, metrics, again)
		taken := errors.Is(err, cdc.ErrSlotTaken)
		if ctx.Err() != nil || !taken && (!errors.Is(err, cdc.ErrHistoryChanged) || a.cfg.OnSlotLoss != mapping.SlotLossRecreate) {
			return err
		}
		a.log.Warn("beginning anew: all clients connect again", "why", err)
		a.starting(err)
		if server := a.server.Load(); server != nil { // else nobody was let in yet
			stop, cancel := context.WithTimeout(ctx, a.cfg.Drain.Time)
			_ = server.Drain(stop) // what is left then has been cut off
			cancel()
		}
		a.server.Store(nil)
		a.parts.Store(nil)
		a.health.Store(nil)
		a.kind.Store(nil)
		a.lagging.forget()
	}
}

// followHistory reaches the database, checks it, and follows its WAL: again, after
// another history.
func (a *App) followHistory(ctx context.Context, metrics *stream.Metrics, again bool) error {
	snapshotter, err := cdc.NewSnapshotter(ctx, cdc.SnapshotterOptions{
		DatabaseURL:      a.cfg.DatabaseURL.Reveal(),
		PasswordFile:     a.cfg.DatabasePasswordFile,
		Connections:      a.cfg.Limits.SnapshotConnections,
		StatementTimeout: a.cfg.Limits.SnapshotTimeout,
		Margin:           a.tuning.QueryMargin,
	})
	if err != nil {
		return err
	}
	defer snapshotter.Close()
	admitted, err := a.prepare(ctx, snapshotter, again)
	if err != nil {
		return err
	}
	feed := cdc.NewFeed(feedBytes)
	consumer := cdc.NewConsumer(cdc.ConsumerOptions{
		DatabaseURL: a.cfg.DatabaseURL.Reveal(), PasswordFile: a.cfg.DatabasePasswordFile, Slot: a.cfg.Slot, Publication: a.cfg.Publication, Log: a.log,
		MaxTransactionBytes: a.tuning.MaxTransactionBytes,
		MinSilence:          a.tuning.Silence,
		TakenPatience:       a.tuning.TakenPatience,
		RecreateLostSlot:    a.cfg.OnSlotLoss == mapping.SlotLossRecreate,
		FailoverSlot:        a.cfg.SlotFailover,
	}, feed)
	hub, err := stream.NewHub(stream.Options{
		Feed: feed, Consumer: consumer, Snapshotter: snapshotter, Metrics: metrics, Log: a.log,
		Connections: a.cfg.Limits.SnapshotConnections, RowsPerQuery: a.cfg.Limits.Rows, Memory: int64(a.cfg.Limits.Memory), ChainBytes: a.tuning.ChainBytes, InboxBytes: a.tuning.InboxBytes,
		CatalogInterval: a.tuning.CatalogInterval,
		Retention: stream.Retention{
			Age: a.cfg.Retention.Age, Bytes: int(a.cfg.Retention.Memory), Changes: a.cfg.Retention.Changes, WAL: int64(a.cfg.Retention.WAL),
		},
		CursorKey: cursorKey(a.cfg),
		Admitted:  admitted,
		LoadSchema: func(ctx context.Context) (*stream.Schema, error) {
			schema, err := served(ctx, a.live.Load(), snapshotter.Pool(), a.companyKind())
			if err != nil {
				return nil, err
			}
			if kind := schema.Mapping.CompanyKind(); kind != "" {
				a.kind.Store(&kind)
			}
			return schema, nil
		},
		Fingerprints: func(ctx context.Context) (map[cdc.TableName]cdc.Fingerprint, error) {
			return cdc.Fingerprints(ctx, snapshotter.Pool(), a.cfg.Publication, tableNames(a.live.Load()))
		},
	})
	if err != nil {
		return err
	}
	a.parts.Store(&parts{consumer: consumer, snapshotter: snapshotter, hub: hub})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return consumer.Run(ctx) })
	group.Go(func() error { return hub.Run(ctx) })
	group.Go(func() error { return a.announce(ctx, hub, consumer) })
	group.Go(func() error { return a.watchSlot(ctx, snapshotter) })
	group.Go(func() error { return a.keepManaged(ctx, hub, consumer, snapshotter) })
	return group.Wait()
}

// entryPatience bounds how long clients wait for a configuration that can't be put in
// force at once: it may wait for somebody's transaction.
const entryPatience = 5 * time.Second

// letIn makes the server that clients meet, once, by the configuration of now: who stood
// by may have read it long ago.
func (a *App) letIn(ctx context.Context, hub *stream.Hub, consumer *cdc.Consumer) {
	if a.server.Load() != nil {
		return
	}
	bounded, cancel := context.WithTimeout(ctx, entryPatience)
	a.lookAtConfig(bounded, false, time.Now().Add(configRetryMost))
	cancel()
	a.entry.Lock()
	defer a.entry.Unlock()
	a.server.Store(a.newServer(hub, consumer))
}

// announce lets clients in once the WAL is followed, which a server that stands by
// waits for, and closes ready once the schema is read and clients can come back with what
// they get.
func (a *App) announce(ctx context.Context, hub *stream.Hub, consumer *cdc.Consumer) error {
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for hub.Schema() == nil || !consumer.Status().Connected || !hub.Anchored() {
		if consumer.Status().Connected {
			a.letIn(ctx, hub, consumer)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
	a.letIn(ctx, hub, consumer)
	a.log.Info("serving", "url", a.URL(), "admin", a.AdminURL())
	a.announced.Do(func() { close(a.ready) })
	return nil
}
