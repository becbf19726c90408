package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
	"github.com/walwire/walwire/stream"
)

// GivenChange is a change of one row that is looked at and never made.
type GivenChange struct {
	Table string
	Key   string // of an update or delete: see mapping.Table.ParseKey
	// Values are those of an insert, or those that an update sets: JSON, or for texts
	// that are none the text.
	Values map[string]string
	Op     cdc.Op
}

// Told is what a commit tells those of a company who have the same roles, or roles that
// are told the same.
type Told struct {
	Position string            `json:"position"`
	Company  string            `json:"company"`
	Roles    []string          `json:"roles"`
	Events   []json.RawMessage `json:"events"` // as clients get them
	// Because says why there are none, where that is known.
	Because string `json:"because,omitempty"`
}

// GivenChange makes the commit that a change would be. Values are read by PostgreSQL;
// constraints and triggers are not looked at.
func (e *Explainer) GivenChange(ctx context.Context, c GivenChange) (*cdc.Transaction, error) {
	t, _, err := e.table(c.Table)
	if err != nil {
		return nil, err
	}
	w := &rowWriter{Explainer: e, table: t, catalog: e.schema.Tables[c.Table]}
	if err := w.describe(ctx); err != nil {
		return nil, err
	}
	change := cdc.Change{Op: c.Op, Relation: w.relation()}
	var row [][]byte
	if c.Op == cdc.OpInsert {
		row = make([][]byte, len(w.columns))
		if err := w.defaults(ctx, row, c.Values); err != nil {
			return nil, err
		}
	} else {
		if row, err = w.old(ctx, c.Key); err != nil {
			return nil, err
		}
		change.OldKind, change.Old = pgoutput.OldRow, new(pgoutput.Arena).Row(row)
	}
	if c.Op != cdc.OpDelete {
		row = slices.Clone(row)
		if err := w.set(ctx, row, c.Values); err != nil {
			return nil, err
		}
		change.New = new(pgoutput.Arena).Row(row)
	}
	at := e.now.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)).Microseconds()
	return &cdc.Transaction{Commit: e.position, End: e.position, Time: at, Changes: []cdc.Change{change}}, nil
}

// rowWriter makes rows of a table as PostgreSQL would.
type rowWriter struct {
	*Explainer
	table   *mapping.Table
	catalog *cdc.Table
	columns []writtenColumn // those that are in the log, in the table's order
}

type writtenColumn struct {
	cdc.Column
	sqlType  string
	standard string // the expression of its default, "" for none
	identity bool
}

func (w *rowWriter) describe(ctx context.Context) error {
	for _, c := range w.catalog.Columns {
		if !c.Generated {
			w.columns = append(w.columns, writtenColumn{Column: c})
		}
	}
	const sql = `SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), ''), a.attidentity <> ''
		FROM pg_catalog.pg_attribute a LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attrelid = $1::text::oid AND a.attnum > 0 AND NOT a.attisdropped`
	err := w.read(ctx, cdc.Select{SQL: sql, Args: []string{strconv.FormatUint(uint64(w.catalog.OID), 10)}, Row: func(row [][]byte) error {
		if i := w.column(string(row[0])); i >= 0 {
			c := &w.columns[i]
			c.sqlType, c.standard, c.identity = string(row[1]), string(row[2]), string(row[3]) == "t"
		}
		return nil
	}})
	if err != nil {
		return fmt.Errorf("read the columns of %s: %w", w.table.Name, err)
	}
	return nil
}

func (w *rowWriter) column(name string) int {
	return slices.IndexFunc(w.columns, func(c writtenColumn) bool { return c.Name == name })
}

// relation is how the log would describe the table.
func (w *rowWriter) relation() *cdc.Relation {
	rel := &cdc.Relation{OID: w.catalog.Leaves[0].OID, Namespace: w.catalog.Schema, Name: w.catalog.Name, Identity: 'f'}
	for _, c := range w.columns {
		rel.Columns = append(rel.Columns, pgoutput.RelationColumn{Name: c.Name, TypeOID: c.TypeOID, TypeModifier: c.TypeModifier})
	}
	return rel
}

// old reads the row as it is.
func (w *rowWriter) old(ctx context.Context, text string) ([][]byte, error) {
	key, err := w.table.ParseKey(text)
	if err != nil {
		return nil, err
	}
	node, err := w.table.KeyNode(key)
	if err != nil {
		return nil, fmt.Errorf("the key of table %s: %w", w.table.Name, err)
	}
	names := make([]string, len(w.columns))
	for i, c := range w.columns {
		names[i] = predicate.QuoteIdentifier(c.Name)
	}
	sql, args := where(w.table, node)
	var old [][]byte
	err = w.read(ctx, cdc.Select{SQL: "SELECT " + strings.Join(names, ", ") + " FROM " + w.table.Relation.String() + " WHERE " + sql, Args: args,
		Row: func(row [][]byte) error {
			old = make([][]byte, len(row))
			for i, v := range row {
				old[i] = bytes.Clone(v)
			}
			return nil
		}})
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the row of %s: %w", w.table.Name, err)
	case old == nil:
		return nil, fmt.Errorf("table %s has no row with the key %s", w.table.Name, text)
	}
	return old, nil
}

// defaults fills in what an INSERT that names only the columns of values would.
func (w *rowWriter) defaults(ctx context.Context, row [][]byte, values map[string]string) error {
	for i, c := range w.columns {
		if _, given := values[c.Name]; given {
			continue
		}
		if c.standard != "" && !c.identity {
			if err := w.one(ctx, "SELECT ("+c.standard+")::"+c.sqlType, nil, &row[i]); err != nil {
				return fmt.Errorf("column %q: its default can't be known without writing, give a value: %w", c.Name, err)
			}
		}
		if row[i] == nil && (c.NotNull || c.identity) {
			return fmt.Errorf("column %q is NOT NULL and has no default that is known beforehand: give a value", c.Name)
		}
	}
	return nil
}

// set puts values in a row, read by PostgreSQL as the columns' types.
func (w *rowWriter) set(ctx context.Context, row [][]byte, values map[string]string) error {
	for name, text := range values {
		i := w.column(name)
		if i < 0 {
			if _, generated := w.catalog.Column(name); generated {
				return fmt.Errorf("column %q of table %s is generated: it is not in the log of changes", name, w.table.Name)
			}
			var names []string
			for _, c := range w.columns {
				names = append(names, c.Name)
			}
			return fmt.Errorf("table %s has no column %q%s", w.table.Name, name, mapping.DidYouMean(name, names))
		}
		c := w.columns[i]
		document, err := json.Marshal(map[string]json.RawMessage{"v": jsonOrText(text)})
		if err != nil {
			return fmt.Errorf("column %q: %w", name, err)
		}
		// It reads a value as an INSERT does: a cast would cut a text that is too long.
		row[i] = nil
		if err := w.one(ctx, "SELECT v FROM json_to_record($1::text::json) AS given(v "+c.sqlType+")", []string{string(document)}, &row[i]); err != nil {
			return fmt.Errorf("column %q: PostgreSQL does not take %s as %s: %w", name, text, c.sqlType, err)
		}
		if row[i] == nil && c.NotNull {
			return fmt.Errorf("column %q is NOT NULL", name)
		}
	}
	return nil
}

// one reads a single value. An error leaves the transaction as it was.
func (w *rowWriter) one(ctx context.Context, sql string, args []string, into *[]byte) error {
	if _, err := w.conn.Exec(ctx, "SAVEPOINT one"); err != nil {
		return err
	}
	err := w.read(ctx, cdc.Select{SQL: sql, Args: args, Row: func(row [][]byte) error {
		*into = bytes.Clone(row[0])
		return nil
	}})
	if err != nil {
		_, back := w.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT one")
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			err = errors.New(pg.Message)
		}
		return errors.Join(err, back)
	}
	return nil
}

// jsonOrText is JSON, or the text as JSON where it is none.
func jsonOrText(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a text always can be
	return quoted
}

// Tell gives what a commit tells each company that it touches, or the viewer's alone, by
// roles: those of the viewer, or each role by itself. why asks for a reason where nothing is told.
func (e *Explainer) Tell(ctx context.Context, tx *cdc.Transaction, v Viewer, why bool) ([]Told, error) {
	companies := e.rehearsal.Companies(tx)
	if _, own := v.Claims.Lookup(e.cfg.User.Claims[mapping.AttributeCompany]); v.Company != "" || own {
		companies = []string{v.Company}
	}
	if len(companies) == 0 {
		return []Told{{Position: tx.End.String(), Because: "the log does not say of which company the rows are: name one"}}, nil
	}
	sets := [][]string{v.Roles}
	if len(v.Roles) == 0 {
		sets = nil
		for _, role := range e.Roles() {
			sets = append(sets, []string{role})
		}
	}
	var all []Told
	for _, company := range companies {
		first := len(all)
		for _, roles := range sets {
			v.Roles, v.Company = roles, company
			told, err := e.tell(ctx, tx, v, why)
			if err != nil {
				return nil, err
			}
			same := slices.IndexFunc(all[first:], func(other Told) bool {
				return other.Because == told.Because && slices.EqualFunc(other.Events, told.Events, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) })
			})
			if same >= 0 {
				all[first+same].Roles = append(all[first+same].Roles, told.Roles...)
				continue
			}
			all = append(all, *told)
		}
	}
	return all, nil
}

func (e *Explainer) tell(ctx context.Context, tx *cdc.Transaction, v Viewer, why bool) (*Told, error) {
	told := &Told{Position: tx.End.String(), Company: v.Company, Roles: []string{strings.Join(v.Roles, ",")}, Events: []json.RawMessage{}}
	p, err := e.Principal(ctx, v)
	var denied *stream.Error
	if errors.As(err, &denied) {
		told.Because = denied.Message
		return told, nil
	}
	if err != nil {
		return nil, err
	}
	told.Company = p.Company
	events, err := e.rehearsal.Events(p, []string{"*"}, tx)
	if err != nil && !errors.As(err, &denied) {
		return nil, err
	}
	for _, event := range events {
		told.Events = append(told.Events, event)
	}
	switch {
	case len(told.Events) > 0:
		return told, nil
	case why:
		told.Because, err = e.because(p, tx.Changes[0].Relation)
	case p.ID == "":
		told.Because, err = e.unknown(p, tx)
	}
	return told, err
}

// unknown is why somebody of whom only the role is known is told nothing, where that is why.
func (e *Explainer) unknown(p *auth.Principal, tx *cdc.Transaction) (string, error) {
	var last *cdc.Relation
	for _, c := range tx.Changes {
		if c.Relation == last {
			continue
		}
		last = c.Relation
		t, cfg, err := e.tableOf(last)
		if err != nil || t == nil {
			return "", err
		}
		if rule, _, ok := t.Access(p.Roles, p.Attributes); ok && rule.Kind == predicate.False {
			return sayWho(cfg, p.Roles), nil
		}
	}
	return "", nil
}

func sayWho(cfg *mapping.TableConfig, roles []string) string {
	return fmt.Sprintf("the role sees the rows where %s: say who the user is", ruleOf(cfg, roles))
}

// tableOf is the table of a relation; nil: it is none that is mapped.
func (e *Explainer) tableOf(rel *cdc.Relation) (*mapping.Table, *mapping.TableConfig, error) {
	for name, c := range e.schema.Tables {
		if slices.ContainsFunc(c.Leaves, func(leaf cdc.Leaf) bool { return leaf.OID == rel.OID }) {
			return e.table(name)
		}
	}
	return nil, nil, nil
}

// because is why somebody is told nothing of a change of a table.
func (e *Explainer) because(p *auth.Principal, rel *cdc.Relation) (string, error) {
	t, cfg, err := e.tableOf(rel)
	if err != nil {
		return "", err
	}
	if t != nil {
		rule, _, ok := t.Access(p.Roles, p.Attributes)
		switch {
		case !ok:
			return "the table is not open to the role", nil
		case rule.Kind == predicate.False && p.ID == "":
			return sayWho(cfg, p.Roles), nil
		case rule.Kind == predicate.False:
			return fmt.Sprintf("this user sees no row: the role sees those where %s", ruleOf(cfg, p.Roles)), nil
		case rule.Kind != predicate.True:
			return "no event is raised that this role may get, or it does not see the row: it sees those where " + readable(t, rule), nil
		}
	}
	return "no event is raised that this role may get", nil
}

// ruleOf is the rule of the first of the roles that the table has one for.
func ruleOf(cfg *mapping.TableConfig, roles []string) string {
	for _, r := range cfg.Roles {
		if slices.Contains(roles, r.Name) {
			return oneLine(r.Rows.Text)
		}
	}
	return ""
}
