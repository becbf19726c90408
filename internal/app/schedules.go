package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/schedule"
	"github.com/walwire/walwire/mapping"
)

// newSchedules makes what runs the schedules, nil where there are none or they are off.
func (a *App) newSchedules() (*schedule.Runner, error) {
	if !a.cfg.Schedules.Enabled() {
		if len(a.cfg.Schedules.Statements) > 0 {
			a.log.Info("the schedules are off: schedules.database_url is empty")
		}
		return nil, nil
	}
	o := scheduleOptions(a.cfg)
	o.Log = a.log
	runner := schedule.New(o)
	if err := runner.Register(a.registry); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return runner, nil
}

// InspectSchedules looks at the schedules' role and statements, and changes nothing.
func InspectSchedules(ctx context.Context, cfg *mapping.Config) ([]cdc.Finding, error) {
	tables := make([]pgx.Identifier, len(cfg.Tables))
	for i, t := range cfg.Tables {
		tables[i] = pgx.Identifier{t.Relation.Schema, t.Relation.Name}
	}
	return schedule.Inspect(ctx, scheduleOptions(cfg), tables)
}

func scheduleOptions(cfg *mapping.Config) schedule.Options {
	o := schedule.Options{DatabaseURL: cfg.Schedules.DatabaseURL.Reveal(), PasswordFile: cfg.Schedules.DatabasePasswordFile, Slot: cfg.Slot}
	for _, s := range cfg.Schedules.Statements {
		o.Statements = append(o.Statements, schedule.Statement(s))
	}
	return o
}
