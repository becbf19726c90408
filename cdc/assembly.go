package cdc

import (
	"errors"
	"fmt"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// changeSize is what a Change itself takes in memory beside its tuples, in octets.
const changeSize = 176

// txArena is where rows live until their transaction is let go.
type txArena = pgoutput.Arena

func newTxArena() *txArena { return new(pgoutput.Arena) }

// assembly puts the messages of one stream together into transactions.
type assembly struct {
	consumer  *Consumer
	decoder   pgoutput.Decoder
	relations map[uint32]*Relation
	tx        *Transaction // being received, nil between transactions
	touched   map[*Relation]struct{}
}

// add takes one pgoutput message; it returns the transaction that it completes.
func (a *assembly) add(data []byte) (*Transaction, error) {
	kind, err := a.decoder.Decode(data)
	if err != nil {
		return nil, a.undecodable(err)
	}
	switch kind {
	case pgoutput.TypeInsert:
		m := &a.decoder.Insert
		return nil, a.change(m.RelationOID, Change{Op: OpInsert, New: m.New})
	case pgoutput.TypeUpdate:
		m := &a.decoder.Update
		return nil, a.change(m.RelationOID, Change{Op: OpUpdate, OldKind: m.OldKind, Old: m.Old, New: m.New, Incomplete: m.Unchanged > 0})
	case pgoutput.TypeDelete:
		m := &a.decoder.Delete
		return nil, a.change(m.RelationOID, Change{Op: OpDelete, OldKind: m.OldKind, Old: m.Old})
	case pgoutput.TypeTruncate:
		for _, oid := range a.decoder.Truncate.RelationOIDs {
			if err := a.change(oid, Change{Op: OpTruncate}); err != nil {
				return nil, err
			}
		}
	case pgoutput.TypeRelation:
		a.relation(&a.decoder.Relation)
	case pgoutput.TypeBegin:
		return nil, a.begin(&a.decoder.Begin)
	case pgoutput.TypeCommit:
		return a.commit(&a.decoder.Commit)
	}
	// Type, Origin and logical messages of other programs carry no rows.
	return nil, nil
}

func (a *assembly) begin(m *pgoutput.Begin) error {
	if a.tx != nil {
		return errors.New("replication stream: BEGIN inside a transaction")
	}
	a.tx = &Transaction{XID: m.XID, Commit: m.FinalLSN, Time: m.CommitTime}
	return nil
}

func (a *assembly) commit(m *pgoutput.Commit) (*Transaction, error) {
	tx := a.tx
	if tx == nil {
		return nil, errors.New("replication stream: COMMIT without BEGIN")
	}
	if tx.Commit != m.CommitLSN {
		return nil, fmt.Errorf("replication stream: COMMIT at %s ends the transaction announced for %s", m.CommitLSN, tx.Commit)
	}
	tx.End = m.EndLSN
	for rel := range a.touched {
		tx.Touched = append(tx.Touched, rel)
	}
	a.tx, a.touched = nil, nil
	return tx, nil
}

func (a *assembly) relation(m *pgoutput.Relation) {
	rel := &Relation{OID: m.OID, Namespace: m.Namespace, Name: m.Name, Identity: m.Identity}
	rel.Columns = m.Columns
	a.relations[m.OID] = rel
}

func (a *assembly) change(oid uint32, c Change) error {
	rel := a.relations[oid]
	if rel == nil {
		return fmt.Errorf("replication stream: change of relation %d, which was not described", oid)
	}
	tx := a.tx
	if tx == nil {
		return fmt.Errorf("replication stream: change of %s.%s outside a transaction", rel.Namespace, rel.Name)
	}
	if tx.Oversize {
		a.touched[rel] = struct{}{}
		return nil
	}
	c.Relation = rel
	if n := len(rel.Columns); !c.New.Absent() && c.New.Len() != n || !c.Old.Absent() && c.Old.Len() != n {
		c = Change{Op: OpUndecodable, Relation: rel, Err: fmt.Errorf("row of %s.%s does not have the %d columns of its relation", rel.Namespace, rel.Name, n)}
	}
	arena := a.consumer.arena
	before := arena.Bytes()
	c.Old = arena.Clone(c.Old)
	if c.Incomplete && c.OldKind == pgoutput.OldRow {
		c.New, c.Incomplete = arena.CloneOver(c.New, c.Old), false
	} else {
		c.New = arena.Clone(c.New)
	}
	tx.Changes = append(tx.Changes, c)
	tx.Bytes += int(arena.Bytes()-before) + changeSize
	if tx.Bytes > a.consumer.opts.MaxTransactionBytes {
		a.oversize()
	}
	return nil
}

// oversize lets the changes go and keeps which tables they touched.
func (a *assembly) oversize() {
	a.touched = make(map[*Relation]struct{})
	for i := range a.tx.Changes {
		a.touched[a.tx.Changes[i].Relation] = struct{}{}
	}
	a.tx.Changes, a.tx.Bytes, a.tx.Oversize = nil, 0, true
}

// undecodable turns a row message that can't be read into a change that says
// so, where the message at least names its relation. Anything else means that
// the stream can't be followed.
func (a *assembly) undecodable(cause error) error {
	var format *pgoutput.FormatError
	if !errors.As(cause, &format) || format.RelationOID == 0 || a.tx == nil {
		return errFatal{fmt.Errorf("replication stream can't be followed: %w; walwire slot skip shows where, and can pass over it", cause)}
	}
	return a.change(format.RelationOID, Change{Op: OpUndecodable, Err: cause})
}
