package stream

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/mapping"
	"github.com/walwire/walwire/mapping/predicate"
)

var (
	uuidType      = &pgvalue.Type{OID: 2950, Base: 2950, Name: "uuid", Kind: pgvalue.KindUUID}
	textType      = &pgvalue.Type{OID: 25, Base: 25, Name: "text", Kind: pgvalue.KindText}
	timestampType = &pgvalue.Type{OID: 1184, Base: 1184, Name: "timestamp with time zone", Kind: pgvalue.KindTimestampTZ}
	numericType   = &pgvalue.Type{OID: 1700, Base: 1700, Name: "numeric", Kind: pgvalue.KindNumeric}
)

// benchTable is the reference schema's appointments without a database.
func benchTable(tb testing.TB) *shape {
	tb.Helper()
	_, s := benchMapping(tb)
	return s
}

func benchMapping(tb testing.TB) (*mapping.Mapping, *shape) {
	tb.Helper()
	return benchMappingOf(tb, `rows: true, columns: "*"`)
}

// benchMappingOf is benchMapping with what the one role may see.
func benchMappingOf(tb testing.TB, access string) (*mapping.Mapping, *shape) {
	tb.Helper()
	config := `
version: 1
auth: {issuer: i, audience: a, keys: [{id: k, alg: HS256, secret: "a secret of thirty-two octets or more"}]}
user: {claims: {id: sub, company: company_id, roles: roles}}
tables: {appointments: {table: public.appointments, company: company_id, roles: {owner: {` + access + `}},
  events: [{event: a.created, on: insert}, {event: a.moved, on: update, changes: [starts_at]}, {event: a.noted, on: update, changes: [notes], old: [notes]},
    {event: a.confirmed, on: update, when: "changed.status && row.status == 'confirmed'"}, {event: a.dear, on: update, when: row.price > 40.0 && row.starts_at < row.ends_at}]}}`
	cfg, err := mapping.Parse("bench", []byte(config), func(string) (string, bool) { return "", false })
	if err != nil {
		tb.Fatal(err)
	}
	t := &cdc.Table{TableName: cdc.TableName{Schema: "public", Name: "appointments"}, OID: 1, Key: []int{0}, Identity: 'f',
		Leaves: []cdc.Leaf{{OID: 1}}}
	info := mapping.TableInfo{Key: t.Key}
	for _, c := range []struct {
		name string
		typ  *pgvalue.Type
	}{
		{"id", uuidType}, {"company_id", uuidType}, {"branch_id", uuidType}, {"client_id", uuidType}, {"staff_id", uuidType},
		{"service_type", textType}, {"status", textType}, {"starts_at", timestampType}, {"ends_at", timestampType},
		{"notes", textType}, {"internal_notes", textType}, {"price", numericType}, {"created_at", timestampType}, {"updated_at", timestampType},
	} {
		t.Columns = append(t.Columns, cdc.Column{Name: c.name, TypeOID: c.typ.OID, Type: c.typ})
		info.Columns = append(info.Columns, mapping.ColumnInfo{Column: predicate.Column{Name: c.name, Type: c.typ}})
	}
	m, err := mapping.Compile(cfg, map[string]mapping.TableInfo{"appointments": info})
	if err != nil {
		tb.Fatal(err)
	}
	mt, _ := m.Table("appointments")
	return m, newShape(mt, t)
}

type noConsumer struct{}

func (noConsumer) Acknowledge(cdc.LSN) {}
func (noConsumer) Await(cdc.LSN)       {}
func (noConsumer) Status() cdc.Status  { return cdc.Status{SystemID: "1", Timeline: 1} }

const benchCompany = "00000000-0000-4000-8000-000000000001"

// benchHub is a hub with one company whose views are live without a hand-off.
func benchHub(tb testing.TB, views int) (*Hub, *company, *shape) {
	tb.Helper()
	s := benchTable(tb)
	h, err := NewHub(Options{Consumer: noConsumer{}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		tb.Fatal(err)
	}
	h.shapes = map[string]*shape{"appointments": s}
	h.relations = map[uint32]*shape{1: s}
	epoch := "begun" // there is no database to ask
	h.epoch.Store(&epoch)
	h.ring.begin(1)
	c := newCompany(h, benchCompany)
	h.companies[c.id] = c
	h.ring.scopes[c.id] = &scope{company: c}
	for i := range views {
		node, err := predicate.Compare(4, s.columns[4], predicate.Eq, uuid(i))
		if err != nil {
			tb.Fatal(err)
		}
		c.viewOf(&query{shape: s, predicate: node, columns: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}})
	}
	return h, c, s
}

func uuid(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func benchRelation(s *shape) *cdc.Relation {
	rel := &cdc.Relation{OID: 1, Namespace: "public", Name: "appointments", Identity: 'f'}
	for _, c := range s.catalog.Columns {
		rel.Columns = append(rel.Columns, pgoutput.RelationColumn{Name: c.Name, TypeOID: c.TypeOID})
	}
	return rel
}

// benchTransactions are updates of distinct rows, each of one view.
func benchTransactions(s *shape, n, perTransaction, views int) []*cdc.Transaction {
	rel := benchRelation(s)
	arena := new(pgoutput.Arena)
	row := func(i int, notes string) pgoutput.Tuple {
		var values [][]byte
		for _, v := range []string{uuid(i), benchCompany, uuid(7), uuid(i % 1000), uuid(i % views), "haircut", "confirmed",
			"2026-03-01 09:00:00+00", "2026-03-01 10:00:00+00", notes, "internal", "45.00", "2026-02-01 09:00:00.123456+00", "2026-02-01 09:00:00.654321+00"} {
			values = append(values, []byte(v))
		}
		return arena.Row(values)
	}
	var txs []*cdc.Transaction
	for i := 0; i < n; i += perTransaction {
		tx := &cdc.Transaction{XID: uint32(1000 + i), Commit: cdc.LSN(i + 1), End: cdc.LSN(i + 2), Bytes: perTransaction * 800}
		for j := i; j < i+perTransaction; j++ {
			tx.Changes = append(tx.Changes, cdc.Change{Op: cdc.OpUpdate, OldKind: 'O', Relation: rel, Old: row(j, "before"), New: row(j, "after")})
		}
		txs = append(txs, tx)
	}
	return txs
}

// benchApply takes a transaction through the hub and its company.
func benchApply(h *Hub, c *company, tx *cdc.Transaction) {
	h.batch(cdc.Batch{Transactions: []*cdc.Transaction{tx}, Progress: tx.End})
	for _, m := range c.inbox.take(nil) {
		for i := range m.txs {
			c.apply(&m.txs[i])
		}
	}
	c.publish()
}

// benchEach measures transactions, each of which counts for so many; after follows each.
func benchEach(b *testing.B, h *Hub, c *company, txs []*cdc.Transaction, each int, after func()) {
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; {
		for _, tx := range txs {
			benchApply(h, c, tx)
			after()
			if done += each; done >= b.N {
				break
			}
		}
		h.unseen, c.unseen, c.recent = h.unseen[:0], c.unseen[:0], c.recent[:0]
	}
}

// BenchmarkIngest is one row change from the hub to its view's chain: routed,
// matched among 1,000 views, encoded, appended, published.
func BenchmarkIngest(b *testing.B) {
	for _, perTransaction := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d-row transactions", perTransaction), func(b *testing.B) {
			const rows = 100_000
			h, c, s := benchHub(b, 1000)
			txs := benchTransactions(s, rows, perTransaction, 1000)
			benchEach(b, h, c, txs, perTransaction, func() {})
		})
	}
}

// BenchmarkIgnored is a row change that no live query of 1,000 shows.
func BenchmarkIgnored(b *testing.B) {
	h, c, s := benchHub(b, 1000)
	txs := benchTransactions(s, 11_000, 1, 11_000)[1000:]
	benchEach(b, h, c, txs, 1, func() {})
}

// BenchmarkShared is a row change that so many live queries show: each user's own rows,
// and what is public.
func BenchmarkShared(b *testing.B) {
	for _, n := range []int{100, 5000} {
		b.Run(fmt.Sprintf("queries=%d", n), func(b *testing.B) {
			h, c, s := benchHub(b, 0)
			for i := range n {
				own, err := predicate.Compare(4, s.columns[4], predicate.Eq, uuid(i))
				if err != nil {
					b.Fatal(err)
				}
				public, err := predicate.Compare(6, s.columns[6], predicate.Eq, "confirmed")
				if err != nil {
					b.Fatal(err)
				}
				c.viewOf(&query{shape: s, predicate: predicate.Any(own, public), columns: []int{0, 6, 9}})
			}
			benchEach(b, h, c, benchTransactions(s, 100, 1, 1), 1, func() {})
		})
	}
}

// BenchmarkDeliver is a frame of one row to one of 100 sessions that show it, from the
// commit to the transport.
func BenchmarkDeliver(b *testing.B) {
	const sessions = 100
	h, c, s := benchHub(b, 1)
	server := NewServer(h, ServerOptions{Log: slog.New(slog.DiscardHandler)})
	for _, v := range c.tables[s].views {
		for i := range sessions {
			ss := newSession(server, fmt.Sprint(i), &auth.Principal{}, discard{})
			ss.company, ss.begun = c, true
			sub := &subscription{id: 1, session: ss, view: v, attached: true, shown: true, read: func() {}}
			v.subscribers[sub] = struct{}{}
			ss.queries, ss.subscriptions = append(ss.queries, sub), append(ss.subscriptions, sub)
		}
	}
	txs := benchTransactions(s, 10_000, 1, 1)
	benchEach(b, h, c, txs, sessions, server.crew.Wait)
}

// BenchmarkRaise is one row change from a commit to the chains of two channels among
// 1,001: that of the row's staff member, and one that hears all. Two of five rules hold.
func BenchmarkRaise(b *testing.B) {
	h, c, s := benchHub(b, 0)
	all := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13}
	for i := range 1001 {
		node := predicate.Always()
		if i > 0 {
			var err error
			if node, err = predicate.Compare(4, s.columns[4], predicate.Eq, uuid(i-1)); err != nil {
				b.Fatal(err)
			}
		}
		c.channelOf(&eventQuery{id: fmt.Sprint(i), taps: []tapQuery{{shape: s, table: s.mapping, columns: all, access: node, predicate: node, rules: []int{0, 1, 2, 3, 4}}}})
	}
	txs := benchTransactions(s, 10_000, 1, 1000)
	benchEach(b, h, c, txs, 1, func() {})
}
