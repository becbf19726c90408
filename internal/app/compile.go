package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
)

// Compiled is Compile for who needs what comes of it.
func Compiled(ctx context.Context, cfg *mapping.Config, q cdc.CatalogQuerier) (*mapping.Mapping, map[string]mapping.TableInfo, error) {
	found, err := cdc.LoadTables(ctx, q, tableNames(cfg))
	if err != nil {
		return nil, nil, fmt.Errorf("read the catalogue: %w", err)
	}
	infos := make(map[string]mapping.TableInfo)
	for _, t := range cfg.Tables {
		infos[t.Name] = info(found[cdc.TableName(t.Relation)])
	}
	m, err := mapping.Compile(cfg, infos)
	return m, infos, err
}

// Compile holds the configuration against the tables as they are. Its findings
// are a mapping.Errors; any other error is a catalogue that can't be read. It
// changes nothing.
func Compile(ctx context.Context, cfg *mapping.Config, q cdc.CatalogQuerier) error {
	found, err := cdc.LoadTables(ctx, q, tableNames(cfg))
	var unfit *cdc.TableError // Inspect says more of it
	if err != nil && !errors.As(err, &unfit) {
		return fmt.Errorf("read the catalogue: %w", err)
	}
	infos := make(map[string]mapping.TableInfo)
	for _, t := range cfg.Tables {
		if table := found[cdc.TableName(t.Relation)]; table != nil {
			infos[t.Name] = info(table)
		}
	}
	_, err = mapping.Compile(cfg, infos)
	return err
}
