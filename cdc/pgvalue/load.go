package pgvalue

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Querier runs a query: *pgx.Conn, pgx.Tx and *pgxpool.Pool are ones.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// typesQuery lists types together with all they refer to. Names are made here
// and not by format_type alone, which qualifies by the session's search_path;
// its typmod -1 gives "bpchar", where NULL would give "character", that is char(1).
const typesQuery = `
WITH RECURSIVE wanted(oid) AS (
	SELECT unnest($1::oid[])
	UNION
	SELECT r.oid
	FROM wanted w
	JOIN pg_catalog.pg_type t ON t.oid = w.oid
	CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) AS r(oid)
	WHERE r.oid <> 0
)
SELECT t.oid, t.typname::text, t.typtype::text, t.typbasetype,
	CASE WHEN e.typarray = t.oid THEN e.oid ELSE 0 END,
	coalesce(e.typdelim, ',')::text,
	coalesce(c.collisdeterministic, true),
	CASE WHEN n.nspname = 'pg_catalog' THEN pg_catalog.format_type(t.oid, -1)
		ELSE pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname) END,
	ARRAY(SELECT l.enumlabel::text FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder)
FROM wanted w
JOIN pg_catalog.pg_type t ON t.oid = w.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem
LEFT JOIN pg_catalog.pg_collation c ON c.oid = t.typcollation`

// typeRow is a row of typesQuery.
type typeRow struct {
	OID           uint32
	TypName       string
	TypType       string // b, c, d, e, p, r, m
	BaseType      uint32 // of a domain
	Elem          uint32 // of a true array
	Delim         string
	Deterministic bool
	SQLName       string
	Labels        []string
}

// Load reads the types of the given OIDs from the catalogue: one round trip.
// The result also holds the types they are made of. A missing OID is an error.
func Load(ctx context.Context, q Querier, oids []uint32) (map[uint32]*Type, error) {
	rows, err := q.Query(ctx, typesQuery, oids)
	if err != nil {
		return nil, fmt.Errorf("load types: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[typeRow])
	if err != nil {
		return nil, fmt.Errorf("load types: %w", err)
	}
	l := loader{rows: make(map[uint32]typeRow, len(list)), types: make(map[uint32]*Type, len(list))}
	for _, r := range list {
		l.rows[r.OID] = r
	}
	for _, oid := range oids {
		if _, err := l.resolve(oid); err != nil {
			return nil, fmt.Errorf("load types: %w", err)
		}
	}
	return l.types, nil
}

// loader turns catalogue rows into types, each once.
type loader struct {
	rows  map[uint32]typeRow
	types map[uint32]*Type
}

func (l *loader) resolve(oid uint32) (*Type, error) {
	if t, ok := l.types[oid]; ok {
		return t, nil
	}
	r, ok := l.rows[oid]
	if !ok {
		return nil, fmt.Errorf("type with OID %d does not exist", oid)
	}
	t := &Type{OID: oid, Base: oid, Name: r.SQLName, Kind: kindOf(oid)}
	switch {
	case r.TypType == "d":
		base, err := l.resolve(r.BaseType)
		if err != nil {
			return nil, err
		}
		*t = *base.WithCollation(r.Deterministic)
		t.OID = oid
	case r.Elem != 0:
		elem, err := l.resolve(r.Elem)
		if err != nil {
			return nil, err
		}
		t.Kind, t.Elem, t.Name = KindArray, elem, elem.Name+"[]"
		t.NondeterministicCollation = elem.NondeterministicCollation
		if r.Delim != "" {
			t.delim = r.Delim[0]
		}
	case r.TypType == "e":
		t.Kind, t.Labels = KindEnum, r.Labels
	case r.TypName == "citext" && r.TypType == "b":
		t.Kind, t.NondeterministicCollation = KindText, true
	default:
		t.NondeterministicCollation = !r.Deterministic
	}
	l.types[oid] = t
	return t, nil
}
