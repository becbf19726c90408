package cdc

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// The text that comes must not depend on what role and database are set to: in
// snapshots and in the stream alike.
func TestSettingsWin(t *testing.T) {
	b := newBench(t)
	b.exec(t, `CREATE TABLE formats (id int PRIMARY KEY, ts timestamptz, iv interval, f float8, raw bytea, d date);
		ALTER TABLE formats REPLICA IDENTITY FULL; ALTER PUBLICATION walwire ADD TABLE formats; GRANT SELECT ON formats TO `+b.role)
	var database string
	if err := b.admin.QueryRow(t.Context(), "SELECT current_database()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	for _, set := range []string{
		"DateStyle = 'German, DMY'", "TimeZone = 'Asia/Tokyo'", "IntervalStyle = 'sql_standard'", "extra_float_digits = -5",
		"bytea_output = 'escape'", "search_path = pg_catalog, public", "client_encoding = 'LATIN1'",
		"default_transaction_isolation = 'serializable'", "default_transaction_read_only = on", "row_security = on",
	} {
		b.exec(t, "ALTER ROLE "+b.role+" SET "+set)
		b.exec(t, "ALTER DATABASE "+database+" SET "+set)
		b.exec(t, "ALTER ROLE "+b.role+" IN DATABASE "+database+" SET "+set)
	}
	s := newTestSnapshotter(t, b, SnapshotterOptions{})
	replication, err := connectReplication(t.Context(), b.opts.login())
	if err != nil {
		t.Fatal(err)
	}
	defer closeConn(replication)
	for _, set := range append(pgvalue.Settings(), pgvalue.Setting{Name: "row_security", Value: "off"}, pgvalue.Setting{Name: "application_name", Value: ApplicationName}) {
		var pooled string
		if err := s.Pool().QueryRow(t.Context(), "SELECT current_setting($1)", set.Name).Scan(&pooled); err != nil {
			t.Fatal(err)
		}
		rows, err := simpleQuery(t.Context(), replication, "SELECT current_setting("+quoteLiteral(set.Name)+")")
		if err != nil {
			t.Fatal(err)
		}
		if streamed := rows[0][0]; pooled != set.Value || streamed != set.Value {
			t.Errorf("%s is %q in snapshots and %q in the stream, want %q", set.Name, pooled, streamed, set.Value)
		}
	}

	f := b.follow(t)
	f.connected(t)
	b.exec(t, `INSERT INTO formats VALUES (1, '2026-01-31 23:30:00.123456+02', '1 mon 2 days 03:04:05', 0.1::float8 + 0.2, '\x00ff', '2026-01-31')`)
	f.reach(t, b.now(t))
	const want = `1,2026-01-31 21:30:00.123456+00,P1M2DT3H4M5S,0.30000000000000004,\x00ff,2026-01-31`
	if got := f.words(); len(got) != 1 || got[0] != "I formats("+want+")" {
		t.Errorf("the stream gave %q", got)
	}
	var row []string
	_, err = s.Read(t.Context(), Select{
		Table: public("formats"), SQL: "SELECT * FROM public.formats",
		Types: []uint32{pgtype.Int4OID, pgtype.TimestamptzOID, pgtype.IntervalOID, pgtype.Float8OID, pgtype.ByteaOID, pgtype.DateOID},
		Row: func(values [][]byte) error {
			for _, v := range values {
				row = append(row, string(v))
			}
			return nil
		},
	})
	if got := strings.Join(row, ","); err != nil || got != want {
		t.Errorf("the snapshot gave %q, %v", got, err)
	}
	if err := s.Heartbeat(t.Context()); err != nil { // writes, although its default is not to
		t.Error(err)
	}
}
