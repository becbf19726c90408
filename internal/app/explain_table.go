package app

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

// TableView is what somebody sees of a table, and hears of it.
type TableView struct {
	Table string `json:"table"`
	Name  string `json:"name"` // in SQL
	// Rules are those of the user's roles; none: the table is not open to them.
	Rules []RuleView `json:"rules"`
	// Rows is the condition that the rules are for this user, besides the company.
	Rows string `json:"rows,omitempty"`
	// Count is of the rows seen now; nil without a company. More says that there are
	// more than one query may have.
	Count *int `json:"count,omitempty"`
	More  bool `json:"more,omitempty"`
	// Keys are those of the first rows.
	Keys    []json.RawMessage `json:"keys,omitempty"`
	Columns []string          `json:"columns,omitempty"`
	Hidden  []string          `json:"hidden,omitempty"`
	Events  []EventView       `json:"events,omitempty"`
}

// RuleView is a role's rule as it is written.
type RuleView struct {
	Role string `json:"role"`
	Rows string `json:"rows"`
}

// EventView is a rule for events, and whether its event can be had.
type EventView struct {
	Event   string   `json:"event"`
	On      string   `json:"on"`
	Changes []string `json:"changes,omitempty"`
	When    string   `json:"when,omitempty"`
	Several int      `json:"several,omitempty"`
	// Because says which hidden columns it can't be had for; "": it can.
	Because string `json:"because,omitempty"`
}

// sampleKeys is how many keys a TableView has.
const sampleKeys = 2

// Table tells what somebody sees of a table and which events of it they can get.
func (e *Explainer) Table(ctx context.Context, p *auth.Principal, name string) (*TableView, error) {
	t, cfg, err := e.table(name)
	if err != nil {
		return nil, err
	}
	v := &TableView{Table: name, Name: cfg.Relation.String(), Rules: []RuleView{}}
	for _, r := range cfg.Roles {
		if slices.Contains(p.Roles, r.Name) {
			v.Rules = append(v.Rules, RuleView{r.Name, oneLine(r.Rows.Text)})
		}
	}
	rule, columns, ok := t.Access(p.Roles, p.Attributes)
	if !ok {
		return v, nil
	}
	v.Rows = readable(t, rule)
	v.Columns = columnNames(t, columns)
	for i, c := range e.schema.Tables[name].Columns {
		if !slices.Contains(columns, i) && !c.Generated {
			v.Hidden = append(v.Hidden, c.Name)
		}
	}
	for i, event := range t.Events() {
		of := cfg.Events[i]
		v.Events = append(v.Events, EventView{of.Event, of.On, of.Changes, oneLine(of.When.Text), of.Several, needs(t, event, columns)})
	}
	if p.Company == "" {
		return v, nil
	}
	scope, err := t.CompanyNode(p.Company)
	if err != nil {
		return nil, err
	}
	return v, e.rows(ctx, t, predicate.All(scope, rule), v)
}

// needs is what who may read columns lacks for an event; "" for nothing.
func needs(t *mapping.Table, event *mapping.Event, columns []int) string {
	hidden := event.Hidden(columns)
	names := strings.Join(columnNames(t, hidden), ", ")
	switch {
	case len(hidden) == 0:
		return ""
	case len(hidden) == 1:
		return "needs column " + names
	case slices.Contains(event.Needs, hidden[0]):
		return "needs columns " + names
	}
	return "needs one of the columns " + names
}

func oneLine(rule string) string { return strings.Join(strings.Fields(rule), " ") }

// rows adds how many rows there are, and the keys of some.
func (e *Explainer) rows(ctx context.Context, t *mapping.Table, node *predicate.Node, v *TableView) error {
	sql, args := where(t, node)
	from := " FROM " + t.Relation.String() + " WHERE " + sql
	most := e.cfg.Limits.Rows
	count := "SELECT count(*) FROM (SELECT" + from + " LIMIT " + strconv.Itoa(most+1) + ") AS seen"
	err := e.read(ctx, cdc.Select{SQL: count, Args: args, Row: func(row [][]byte) error {
		n, err := strconv.Atoi(string(row[0]))
		v.More = n > most
		n = min(n, most)
		v.Count = &n
		return err
	}})
	if err != nil {
		return fmt.Errorf("count the rows of %s: %w", t.Name, err)
	}
	key := make([]string, len(t.Key))
	for i, k := range t.Key {
		key[i] = predicate.QuoteIdentifier(t.Columns[k].Name)
	}
	list := strings.Join(key, ", ")
	keys := "SELECT " + list + from + " ORDER BY " + list + " LIMIT " + strconv.Itoa(sampleKeys)
	err = e.read(ctx, cdc.Select{SQL: keys, Args: args, Row: func(row [][]byte) error {
		json, err := keyJSON(t, row)
		v.Keys = append(v.Keys, json)
		return err
	}})
	if err != nil {
		return fmt.Errorf("read keys of %s: %w", t.Name, err)
	}
	return nil
}

// keyJSON is a row's key as clients get it.
func keyJSON(t *mapping.Table, values [][]byte) (json.RawMessage, error) {
	out := []byte{'{'}
	for i, k := range t.Key {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(strconv.AppendQuote(out, t.Columns[k].Name), ':')
		var err error
		if out, err = t.Columns[k].Type.AppendJSON(out, values[i]); err != nil {
			return nil, fmt.Errorf("encode column %s: %w", t.Columns[k].Name, err)
		}
	}
	return append(out, '}'), nil
}

func columnNames(t *mapping.Table, ordinals []int) []string {
	var names []string
	for _, i := range ordinals {
		names = append(names, t.Columns[i].Name)
	}
	return names
}

var parameter = regexp.MustCompile(`\$\d+`)

// readable is a predicate as SQL with its values in it, for people.
func readable(t *mapping.Table, node *predicate.Node) string {
	sql, args := where(t, node)
	return parameter.ReplaceAllStringFunc(sql, func(p string) string {
		n, err := strconv.Atoi(p[1:])
		if err != nil || n > len(args) {
			return p
		}
		return "'" + strings.ReplaceAll(args[n-1], "'", "''") + "'"
	})
}
