package cdc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/pgtest"
)

// Concurrent writers of every kind: what arrives is, in the same order, what
// another slot gives through SQL and pglogrepl's parser.
func TestConsumerOrder(t *testing.T) {
	b := newBench(t)
	second := pgtest.Unique("slot")
	b.exec(t, "SELECT pg_create_logical_replication_slot($1, 'pgoutput')", second)
	f := b.follow(t)
	f.connected(t)
	const writers, each = 6, 60
	var wg sync.WaitGroup
	for w := range writers {
		conn := pgtest.MustConnect(t, b.url)
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			for n := range each {
				for _, sql := range randomTransaction(random, w, n) {
					if _, err := conn.Exec(t.Context(), sql); err != nil {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	f.reach(t, b.now(t))
	got, want := f.words(), secondOpinion(t, b, second)
	if len(got) < writers*each/2 {
		t.Errorf("only %d transactions", len(got))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %d transactions:\n%s\nwant %d:\n%s", len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
	}
}

// randomTransaction is what a writer sends, call by call.
func randomTransaction(random *rand.Rand, writer, n int) []string {
	id := writer*1_000_000 + n*10
	insert := func(i int) string { return fmt.Sprintf("INSERT INTO t VALUES (%d, 'w%d'); ", id+i, writer) }
	change := fmt.Sprintf("UPDATE t SET v = v || '+' WHERE id BETWEEN %d AND %d; ", id-40, id)
	if random.IntN(10) == 0 {
		name := fmt.Sprintf("order-%d-%d", writer, n)
		return []string{"BEGIN; " + insert(0) + change + "PREPARE TRANSACTION '" + name + "'", "COMMIT PREPARED '" + name + "'"}
	}
	return []string{randomStatements(random, id, insert, change)}
}

func randomStatements(random *rand.Rand, id int, insert func(int) string, change string) string {
	const async = "SET LOCAL synchronous_commit = off; "
	switch random.IntN(9) {
	case 0:
		return "BEGIN; " + async + insert(0) + change + "COMMIT"
	case 1:
		return "BEGIN; " + insert(0) + change + "ROLLBACK"
	case 2:
		return "BEGIN; " + insert(0) + "SAVEPOINT a; " + insert(1) + "SAVEPOINT b; " + change + "ROLLBACK TO a; " + insert(2) + "COMMIT"
	case 3:
		return "BEGIN; " + async + change + insert(0) + "COMMIT"
	case 4:
		return "BEGIN; " + insert(0) + "SELECT pg_logical_emit_message(true, 'other', 'x'); SELECT pg_logical_emit_message(false, 'other', 'x'); COMMIT"
	case 5:
		return "INSERT INTO unmapped (v) VALUES ('x'); "
	case 6:
		return "BEGIN; " + insert(0) + "TRUNCATE u; " + fmt.Sprintf("INSERT INTO u VALUES (%d, 'y'); ", id) + "COMMIT"
	case 7:
		return "BEGIN; " + fmt.Sprintf("DELETE FROM t WHERE id BETWEEN %d AND %d; ", id-20, id) + insert(0) + "COMMIT"
	default:
		return "BEGIN; " + insert(0) + change + "COMMIT"
	}
}

// secondOpinion renders what a slot has to give, by pglogrepl's parser.
func secondOpinion(t *testing.T, b *bench, slot string) (words []string) {
	t.Helper()
	rows, err := b.admin.Query(t.Context(), `SELECT data FROM pg_logical_slot_get_binary_changes($1, NULL, NULL,
		'proto_version', '1', 'publication_names', 'walwire', 'messages', 'true')`, slot)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[uint32]string)
	var tx []string
	add := func(op string, oid uint32, row string) { tx = append(tx, op+" "+names[oid]+row) }
	for _, data := range messages {
		m, err := pglogrepl.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		switch m := m.(type) {
		case *pglogrepl.RelationMessage:
			names[m.RelationID] = m.RelationName
		case *pglogrepl.InsertMessage:
			add("I", m.RelationID, "("+secondTuple(m.Tuple)+")")
		case *pglogrepl.UpdateMessage:
			add("U", m.RelationID, "("+secondTuple(m.OldTuple)+">"+secondTuple(m.NewTuple)+")")
		case *pglogrepl.DeleteMessage:
			add("D", m.RelationID, "("+secondTuple(m.OldTuple)+">)")
		case *pglogrepl.TruncateMessage:
			for _, oid := range m.RelationIDs {
				add("T", oid, "")
			}
		case *pglogrepl.CommitMessage:
			if len(tx) > 0 {
				words = append(words, strings.Join(tx, " "))
			}
			tx = nil
		}
	}
	return words
}

func secondTuple(t *pglogrepl.TupleData) string {
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = string(c.Data)
	}
	return strings.Join(columns, ",")
}
