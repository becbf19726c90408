package cdc

import (
	"context"
	"fmt"
	"slices"
)

func (in *inspection) hazards(ctx context.Context) ([]Finding, error) {
	tables := in.tables()
	if len(tables) == 0 {
		return nil, nil
	}
	findings, err := identityHazards(ctx, in.q, in.opts.Publication, tables, in.opts.CompanyColumns)
	if err != nil {
		return nil, err
	}
	sizes, err := toasts(ctx, in.q, tables)
	if err != nil {
		return findings, err
	}
	for _, t := range tables {
		for _, leaf := range t.Leaves {
			if size := sizes[leaf.OID].Size; leaf.Identity != 'f' && !leaf.indexed() && size >= maxIdentityRow {
				findings = append(findings, Finding{Severity: SeverityInfo, Code: CodeLargeRows, Subject: leaf.String(),
					Message: fmt.Sprintf("table %s holds %d MB of large values: should one row have more than %d MB, "+
						"REPLICA IDENTITY FULL can make its UPDATE or DELETE fail", leaf, size>>20, maxIdentityRow>>20)})
			}
		}
	}
	return findings, nil
}

func (in *inspection) replicaIdentities(ctx context.Context) ([]Finding, error) {
	tables := in.tables()
	if len(tables) == 0 {
		return nil, nil
	}
	sizes, err := toasts(ctx, in.q, tables)
	if err != nil {
		return nil, err
	}
	var findings []Finding
	for _, t := range tables {
		for _, leaf := range t.Leaves {
			_, toasted := sizes[leaf.OID]
			if f, found := in.replicaIdentity(t, leaf, toasted); found {
				findings = append(findings, f)
			}
		}
	}
	return findings, nil
}

func (in *inspection) replicaIdentity(t *Table, leaf Leaf, toasted bool) (Finding, bool) {
	f := Finding{Severity: SeverityFatal, Code: CodeReplicaIdentity, Subject: leaf.String(),
		SQL:  statements(fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", leaf)),
		Hint: "Needs a short exclusive lock. UPDATE and DELETE then write the whole old row to the WAL."}
	switch leaf.Identity {
	case 'f':
		return f, false
	case 'i':
		for _, column := range identityColumns(t, in.opts.CompanyColumns[t.TableName]) {
			if !slices.Contains(leaf.IdentityColumns, column) {
				f.Message = fmt.Sprintf("the index that is the replica identity of table %s leaves out column %s: "+
					"a deleted row would not say whose it was", leaf, quoteIdent(column))
				return f, true
			}
		}
		f.Severity, f.Code = SeverityWarning, CodeIdentityIndex
		f.Message = fmt.Sprintf("table %s has an index as replica identity: an UPDATE does not carry large values it left unchanged, "+
			"so walwire has to look them up", leaf)
		return f, toasted
	case 'n':
		f.Message = fmt.Sprintf("table %s has REPLICA IDENTITY NOTHING: once it is published, its UPDATE and DELETE fail", leaf)
	default:
		f.Message = fmt.Sprintf("table %s has the default replica identity: a deleted row would not say whose it was, "+
			"and an updated one not what it was before", leaf)
	}
	return in.managed(f), true
}

func (in *inspection) publication(ctx context.Context) ([]Finding, error) {
	tables := in.tables()
	state, err := readPublication(ctx, in.q, in.opts.Publication)
	if err != nil {
		return nil, err
	}
	name := quoteIdent(in.opts.Publication)
	if state == nil {
		return []Finding{in.managed(in.publicationMissing(tables))}, nil
	}
	findings, err := allTablesFindings(ctx, in.q, state)
	if err != nil {
		return nil, err
	}
	findings = append(findings, state.faults(tables)...)
	for _, t := range tables {
		if missing := state.lacking(t); len(missing) > 0 {
			message := fmt.Sprintf("publication %s does not send the changes of %s", name, onlyLeaves(missing))
			if state.publishes(missing[0].OID) {
				message = fmt.Sprintf("publication %s does not name %s: PostgreSQL 14 does not send the changes of a partition that was written to "+
					"before it was attached, unless it is named", name, onlyLeaves(missing))
			}
			findings = append(findings, in.managed(Finding{Severity: SeverityFatal, Code: CodePublicationLacks, Subject: t.String(),
				Message: message,
				SQL:     statements(fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s", name, onlyLeaves(missing))),
				Hint:    "Set the replica identity first, else UPDATE and DELETE can fail from then on."}))
		}
	}
	if len(findings) == 0 && len(tables) > 0 {
		return fine(CodePublication, "publication %s sends all changes of the tables found", name), nil
	}
	return findings, nil
}

func (in *inspection) publicationMissing(tables []*Table) Finding {
	var leaves []Leaf
	for _, t := range tables {
		leaves = append(leaves, t.Leaves...)
	}
	f := Finding{Severity: SeverityFatal, Code: CodePublication, Subject: quoteIdent(in.opts.Publication),
		Message: fmt.Sprintf("publication %s does not exist", quoteIdent(in.opts.Publication)),
		SQL:     statements(createPublicationSQL(in.opts.Publication, leaves, int(in.server.Version))),
		Hint:    "Set the replica identities first, else UPDATE and DELETE can fail from then on."}
	if in.server.OurSlotExists {
		f.SQL += "\n" + statements(dropSlot(in.opts.Slot))
		f.Hint += " The slot is older than the publication and can't read it, so it is dropped; walwire makes a new one."
	}
	return f
}
