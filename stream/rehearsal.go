package stream

import (
	"context"
	"log/slog"
	"math"
	"slices"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/mapping/predicate"
)

// Rehearsal tells what a server would, of commits and users, without one: it runs the
// server's own code over what it is given, follows nothing and changes nothing. For one
// goroutine.
type Rehearsal struct {
	hub  *Hub
	read func(ctx context.Context, q cdc.Select) error
}

// NewRehearsal makes one for a schema. key is the servers' cursor key, of which the ids of
// events are made; read runs a query of the rows that say who users are.
func NewRehearsal(schema *Schema, key []byte, log *slog.Logger, read func(context.Context, cdc.Select) error) (*Rehearsal, error) {
	h, err := NewHub(Options{CursorKey: key, Log: log})
	if err != nil {
		return nil, err
	}
	h.adopt(schema, func(*shape) bool { return false })
	return &Rehearsal{hub: h, read: read}, nil
}

// Principal is who the user of a token is by the rows of now. An *Error is a user without
// access.
func (r *Rehearsal) Principal(ctx context.Context, claims *auth.Principal) (*auth.Principal, error) {
	u := &user{claims: *claims}
	served := r.hub.serving()
	for _, row := range served.mapping.UserRows() {
		if row.Applies(claims.Roles) {
			u.lookups = append(u.lookups, lookup{row: row})
		}
	}
	return u.by(func(l *lookup, match *predicate.Node) ([][]byte, error) {
		s := served.shapes[l.row.Table.Name]
		v := &view{table: newTable(s), predicate: match, mask: newMask(s.columns, s.key, l.row.Columns(), true)}
		q, collect := v.selection(claims.Company, r.hub.RowsPerQuery)
		if err := r.read(ctx, q); err != nil {
			return nil, err
		}
		found, _ := collect()
		rows := make([][]byte, 0, len(found))
		for _, row := range found {
			rows = append(rows, row.json)
		}
		return rows, nil
	})
}

// Events gives the events of a commit, as clients get them, that who listens to these
// names in all of its company hears. An *Error is who may get none of them.
func (r *Rehearsal) Events(p *auth.Principal, names []string, tx *cdc.Transaction) ([][]byte, error) {
	q, refused := compileEvents(p, &clientEvents{Names: names}, r.hub.serving())
	if refused != nil {
		return nil, refused
	}
	id, refused := r.hub.companyOf(p)
	if refused != nil {
		return nil, refused
	}
	c := &company{hub: r.hub, id: id, log: r.hub.Log}
	c.recent = r.hub.splitFor(c, []*cdc.Transaction{tx})
	entries, _ := c.entriesAfter(q, 0, tx.End, math.MaxInt)
	var events [][]byte
	for _, e := range entries {
		for _, o := range e.ops {
			events = append(events, o.data)
		}
	}
	return events, nil
}

// Companies gives the companies whose rows a commit changes, as the log prints them, in
// its order.
func (r *Rehearsal) Companies(tx *cdc.Transaction) []string {
	var companies []string
	add := func(kind byte, company []byte) {
		if kind == pgoutput.KindText && !slices.Contains(companies, string(company)) {
			companies = append(companies, string(company))
		}
	}
	for i := range tx.Changes {
		c := &tx.Changes[i]
		b := r.hub.bound(c.Relation)
		if b.shape == nil || b.stale {
			continue
		}
		if !c.New.Absent() {
			add(c.New.Column(b.company))
		}
		add(oldCompany(c, b))
	}
	return companies
}
