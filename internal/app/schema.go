package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
	"github.com/walwire/walwire/stream"
)

// prepare makes the database fit, and refuses one that can't be served. Where it has been
// served before, which the slot tells, or again is set, tables that can't be are left out,
// as while the WAL is followed. It waits for a database that is not up yet, or goes down
// meanwhile. admitted are the places in the publication as of which tables are complete.
func (a *App) prepare(ctx context.Context, s *cdc.Snapshotter, again bool) (admitted map[cdc.TableName]string, err error) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		admitted, err := a.prepareOnce(ctx, s, again)
		if err == nil || !comesBack(err) || ctx.Err() != nil {
			return admitted, err
		}
		a.starting(fmt.Errorf("waiting for the database: %w", err))
		a.log.Warn("waiting for the database", "error", err, "again_in", wait)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (a *App) prepareOnce(ctx context.Context, s *cdc.Snapshotter, again bool) (admitted map[cdc.TableName]string, err error) {
	cfg := a.live.Load()
	if err := s.Ping(ctx); err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	slot, err := cdc.ReadSlotHealth(ctx, s.Pool(), cfg.Slot)
	if err != nil {
		return nil, err
	}
	served := again || slot != nil && slot.Database == slot.Here
	var added []cdc.TableName
	switch {
	case !cfg.Manage:
	case !served:
		if added, err = a.manage(ctx, cfg, tableNames(cfg)); err != nil {
			return nil, err
		}
	default: // what follows finds what can't be borne
		if added, err = a.manageEach(ctx, cfg); err != nil {
			a.log.Error("publication and replica identities are not all as they should be", "publication", cfg.Publication, "error", err)
		}
	}
	schema, err := loadSchema(ctx, cfg, s.Pool(), "")
	if err != nil {
		return nil, err
	}
	if len(schema.Broken) > 0 && (!served || !again && len(schema.Tables) == 0) {
		return nil, errors.Join(slices.Collect(maps.Values(schema.Broken))...)
	}
	findings, err := Inspect(ctx, cfg, s.Pool())
	if err != nil {
		return nil, err
	}
	if served {
		findings = bear(findings, cdc.Finding.Bearable)
		if err := passing(findings); err != nil {
			return nil, &busyError{err}
		}
	}
	if err := a.refuse(findings); err != nil {
		return nil, err
	}
	return a.awaitJoined(ctx, cfg, s, added)
}

// awaitJoined waits for what was open when tables joined the publication: joining, and
// others, which may have been while nobody watched. It gives the places in the publication
// that all writers know.
func (a *App) awaitJoined(ctx context.Context, cfg *mapping.Config, s *cdc.Snapshotter, joining []cdc.TableName) (map[cdc.TableName]string, error) {
	for {
		if len(joining) > 0 {
			a.starting(errors.New("waiting for the transactions that were open when tables joined the publication"))
			if err := cdc.WaitAdded(ctx, s.Pool(), a.log, joining); err != nil {
				return nil, err
			}
		}
		admitted, err := places(ctx, cfg, s, tableNames(cfg))
		if err != nil {
			return nil, err
		}
		if joining, err = cdc.Joining(ctx, s.Pool(), cfg.Publication, tableNames(cfg)); err != nil || len(joining) == 0 {
			return admitted, err
		}
	}
}

// places are those of the tables in the publication.
func places(ctx context.Context, cfg *mapping.Config, s *cdc.Snapshotter, names []cdc.TableName) (map[cdc.TableName]string, error) {
	prints, err := cdc.Fingerprints(ctx, s.Pool(), cfg.Publication, names)
	if err != nil {
		return nil, err
	}
	places := make(map[cdc.TableName]string, len(prints))
	for name, f := range prints {
		places[name] = f.Publication
	}
	return places, nil
}

// bear makes warnings of what the server goes on with.
func bear(findings []cdc.Finding, bearable func(cdc.Finding) bool) []cdc.Finding {
	for i := range findings {
		if f := &findings[i]; f.Severity == cdc.SeverityFatal && bearable(*f) {
			f.Severity = cdc.SeverityWarning
		}
	}
	return findings
}

// busyError is a database that can't be followed now.
type busyError struct{ error }

// passing is what a database says that is busy, or goes down, while it is looked at, and
// in which nothing else is fatal.
func passing(findings []cdc.Finding) (err error) {
	for _, f := range findings {
		if f.Severity != cdc.SeverityFatal {
			continue
		}
		switch {
		case f.Code == cdc.CodeSendersFull: // by the server before, perhaps
			err = errors.New(f.Message)
		case f.Err != nil && comesBack(f.Err):
			err = f.Err
		default:
			return nil
		}
	}
	return err
}

// comesBack reports whether err is a database that is not there now, rather than
// one that refuses.
func comesBack(err error) bool {
	if errors.As(err, new(*busyError)) {
		return true
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "57P01", "57P02", "57P03", "53300": // shut down, crashed, starting, too many connections
			return true
		}
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (a *App) refuse(findings []cdc.Finding) error {
	var fatal []cdc.Finding
	for _, f := range findings {
		switch f.Severity {
		case cdc.SeverityFatal:
			fatal = append(fatal, f)
		case cdc.SeverityWarning:
			a.log.Warn(f.Message, "subject", f.Subject, "mend", f.SQL, "hint", f.Hint)
		}
	}
	if len(fatal) > 0 {
		return &cdc.RefusedError{Operation: "serve", Findings: fatal}
	}
	return nil
}

// Inspect looks at the database with the configuration's eyes.
func Inspect(ctx context.Context, cfg *mapping.Config, q cdc.CatalogQuerier) ([]cdc.Finding, error) {
	return cdc.Inspect(ctx, q, inspectOptions(cfg))
}

func inspectOptions(cfg *mapping.Config) cdc.InspectOptions {
	opts := cdc.InspectOptions{
		Tables:           tableNames(cfg),
		Publication:      cfg.Publication,
		Slot:             cfg.Slot,
		DatabaseURL:      cfg.DatabaseURL.Reveal(),
		PasswordFile:     cfg.DatabasePasswordFile,
		Manage:           cfg.Manage,
		RecreateLostSlot: cfg.OnSlotLoss == mapping.SlotLossRecreate,
		FailoverSlot:     cfg.SlotFailover,
		CompanyColumns:   make(map[cdc.TableName]string),
		Columns:          make(map[cdc.TableName][]string),
	}
	for _, t := range cfg.Tables {
		name := cdc.TableName(t.Relation)
		opts.CompanyColumns[name] = t.Company
		for _, r := range t.Roles {
			opts.Columns[name] = append(append(opts.Columns[name], r.Columns.Names...), r.Columns.Except...)
		}
	}
	return opts
}

func tableNames(cfg *mapping.Config) []cdc.TableName {
	names := make([]cdc.TableName, len(cfg.Tables))
	for i, t := range cfg.Tables {
		names[i] = cdc.TableName(t.Relation)
	}
	return names
}

// loadSchema reads the catalogue and binds the mapping to it. A table that does
// not fit is left out and named in Broken; the others are served. For kind see partial.
func loadSchema(ctx context.Context, cfg *mapping.Config, q cdc.CatalogQuerier, kind string) (*stream.Schema, error) {
	schema, infos, err := readSchema(ctx, cfg, q)
	if err != nil || schema.Mapping != nil {
		return schema, err
	}
	return partial(schema, cfg, infos, kind)
}

// readSchema is loadSchema without a mapping where not all of it fits.
func readSchema(ctx context.Context, cfg *mapping.Config, q cdc.CatalogQuerier) (*stream.Schema, map[string]mapping.TableInfo, error) {
	found, err := cdc.LoadTables(ctx, q, tableNames(cfg))
	var missing *cdc.TableError
	if err != nil && !errors.As(err, &missing) {
		return nil, nil, fmt.Errorf("read the catalogue: %w", err)
	}
	schema := &stream.Schema{Tables: make(map[string]*cdc.Table), Broken: make(map[string]error)}
	infos := make(map[string]mapping.TableInfo)
	of := make(map[uint32]string) // by what holds rows
	for _, t := range cfg.Tables {
		table := found[cdc.TableName(t.Relation)]
		if table == nil {
			schema.Broken[t.Name] = err
			continue
		}
		if other := overlaps(table, of); other != "" {
			schema.Broken[t.Name] = fmt.Errorf("table %s: rows of %s are also those of tables.%s: map one of them", t.Name, table.TableName, other)
			continue
		}
		for _, leaf := range table.Leaves {
			of[leaf.OID] = t.Name
		}
		schema.Tables[t.Name], infos[t.Name] = table, info(table)
	}
	if len(schema.Broken) == 0 {
		if m, err := mapping.Compile(cfg, infos); err == nil {
			schema.Mapping = m
		}
	}
	return schema, infos, nil
}

// overlaps names the table that holds rows of this one already, "" for none: a partition
// and its root can't both be mapped.
func overlaps(t *cdc.Table, of map[uint32]string) string {
	for _, leaf := range t.Leaves {
		if of[leaf.OID] != "" {
			return of[leaf.OID]
		}
	}
	return ""
}

// served is loadSchema for a server that runs: a table whose changes are no
// longer in the stream, or that can't be read any more, is not served.
func served(ctx context.Context, cfg *mapping.Config, q cdc.CatalogQuerier, kind string) (*stream.Schema, error) {
	schema, infos, err := readSchema(ctx, cfg, q)
	if err != nil {
		return nil, err
	}
	tables := make([]*cdc.Table, 0, len(schema.Tables))
	for _, t := range schema.Tables {
		tables = append(tables, t)
	}
	broken, err := cdc.Unreadable(ctx, q, tables)
	if err != nil {
		return nil, err
	}
	unpublished, err := cdc.Unpublished(ctx, q, cfg.Publication, tables)
	if err != nil {
		return nil, err
	}
	maps.Copy(broken, unpublished)
	if len(broken) == 0 && schema.Mapping != nil {
		return schema, nil
	}
	for name, t := range schema.Tables {
		if why := broken[t.TableName]; why != nil {
			schema.Broken[name] = why
			delete(schema.Tables, name)
			delete(infos, name)
		}
	}
	return partial(schema, cfg, infos, kind)
}

// partial compiles what does not fit as a whole: the tables that say who users
// are first, without which nothing can be served, then each of the others beside them.
// kind is what companies were until now, "" where that is not known.
func partial(schema *stream.Schema, cfg *mapping.Config, infos map[string]mapping.TableInfo, kind string) (*stream.Schema, error) {
	cfg = cfg.Numbered()
	rest := *cfg
	rest.Tables = nil
	for _, t := range cfg.Tables {
		if !tellsUsers(cfg, t.Name) {
			continue
		}
		broken := schema.Broken[t.Name]
		if is := kindOf(infos, t); broken == nil && is != "" && is != kind && anyOf(infos, cfg.Tables, kind) {
			broken = otherKind(t, is, kind)
		}
		if broken != nil {
			return nothing(schema, cfg, broken)
		}
		rest.Tables = append(rest.Tables, t)
	}
	if _, err := mapping.Compile(&rest, infos); err != nil {
		return nothing(schema, cfg, err)
	}
	users := rest.Tables
	var fit []mapping.TableConfig
	for _, t := range cfg.Tables {
		if schema.Broken[t.Name] != nil || tellsUsers(cfg, t.Name) {
			continue
		}
		beside := rest
		beside.Tables = append(slices.Clone(users), t)
		if _, err := mapping.Compile(&beside, infos); err != nil {
			schema.Broken[t.Name] = err
			delete(schema.Tables, t.Name)
			continue
		}
		fit = append(fit, t)
	}
	if len(users) == 0 && !anyOf(infos, fit, kind) { // those beside users have their kind
		kind = commonKind(infos, fit)
	}
	for _, t := range fit {
		if is := kindOf(infos, t); len(users) == 0 && is != kind {
			schema.Broken[t.Name] = otherKind(t, is, kind)
			delete(schema.Tables, t.Name)
			continue
		}
		rest.Tables = append(rest.Tables, t)
	}
	schema.Unserved = unserved(cfg, schema.Broken)
	var err error
	schema.Mapping, err = mapping.Compile(&rest, infos)
	return schema, err
}

func kindOf(infos map[string]mapping.TableInfo, t mapping.TableConfig) string {
	info := infos[t.Name]
	return info.CompanyKind(t.Company)
}

// anyOf reports whether companies are of a kind in any of the tables.
func anyOf(infos map[string]mapping.TableInfo, tables []mapping.TableConfig, kind string) bool {
	return kind != "" && slices.ContainsFunc(tables, func(t mapping.TableConfig) bool { return kindOf(infos, t) == kind })
}

// commonKind is what companies are in most of the tables; in as many, in the first.
func commonKind(infos map[string]mapping.TableInfo, tables []mapping.TableConfig) (most string) {
	count := make(map[string]int)
	for _, t := range tables {
		count[kindOf(infos, t)]++
	}
	for _, t := range tables {
		if is := kindOf(infos, t); count[is] > count[most] {
			most = is
		}
	}
	return most
}

func otherKind(t mapping.TableConfig, is, kind string) error {
	return fmt.Errorf("tables.%s.company: the company is %s here and %s in the other tables: a token names one company for all, so give it a column of that kind", t.Name, is, kind)
}

// unserved is what can be said of tables that are left out.
func unserved(cfg *mapping.Config, broken map[string]error) (out []stream.Unserved) {
	for _, t := range cfg.Tables {
		if broken[t.Name] == nil {
			continue
		}
		u := stream.Unserved{Table: t.Name}
		for _, r := range t.Roles {
			u.Roles = append(u.Roles, r.Name)
		}
		for _, e := range t.Events {
			u.Events = append(u.Events, e.Event)
		}
		out = append(out, u)
	}
	return out
}

// tellsUsers reports whether the configuration looks users up in the table.
func tellsUsers(cfg *mapping.Config, table string) bool {
	return slices.ContainsFunc(cfg.User.Rows, func(r mapping.UserRowConfig) bool { return r.Table == table })
}

// nothing is the schema while nobody's rights can be known.
func nothing(schema *stream.Schema, cfg *mapping.Config, cause error) (*stream.Schema, error) {
	for _, t := range cfg.Tables {
		if schema.Broken[t.Name] == nil {
			schema.Broken[t.Name] = fmt.Errorf("what says who users are can't be read: %w", cause)
		}
	}
	clear(schema.Tables)
	schema.UsersUnknown = cause
	none := *cfg
	none.Tables, none.User.Rows, none.Rooms = nil, nil, nil
	var err error
	schema.Mapping, err = mapping.Compile(&none, nil)
	return schema, err
}

func info(t *cdc.Table) mapping.TableInfo {
	in := mapping.TableInfo{Key: t.Key}
	for _, c := range t.Columns {
		in.Columns = append(in.Columns, mapping.ColumnInfo{
			Column:  predicate.Column{Name: c.Name, Type: c.Type},
			NotNull: c.NotNull, Generated: c.Generated,
		})
	}
	return in
}
