package pgoutput_test

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/internal/pgtest"
)

// recordingFile holds the messages of schema and script, from PostgreSQL 15.
// "go test -run TestRecording_Live -record" makes it anew.
const recordingFile = "testdata/recording"

var recordFlag = flag.Bool("record", false, "write testdata/recording from the server at hand")

func TestMain(m *testing.M) { pgtest.Main(m) }

// TestRecording compares the decoder with pglogrepl's parser, message by message.
func TestRecording(t *testing.T) {
	messages := mustRead(t)
	compare(t, messages)
	checkCoverage(t, messages)
}

// TestRecording_Live runs the script again, on the server at hand: it must send
// the same messages, and the rows that they lead to must be those of a SELECT.
func TestRecording_Live(t *testing.T) {
	messages, conn := record(t, schema, script)
	if *recordFlag {
		if err := writeRecording(recordingFile, messages); err != nil {
			t.Fatal(err)
		}
	}
	compare(t, messages)
	checkCoverage(t, messages)
	got, want := render(t, messages), render(t, mustRead(t))
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("message %d\ngot  %.2000s\nwant %.2000s", i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	checkReplay(t, messages, conn)
}

func mustRead(t *testing.T) [][]byte {
	t.Helper()
	messages, err := readRecording(recordingFile)
	if err != nil {
		t.Fatal(err)
	}
	return messages
}

func compare(t *testing.T, messages [][]byte) {
	t.Helper()
	var d pgoutput.Decoder
	for i, src := range messages {
		kind := mustDecode(t, &d, src)
		if diff := difference(&d, kind, src); diff != "" {
			t.Fatalf("message %d, %s %s\n%s", i, kind, quote(src), diff)
		}
		checkClones(t, &d, kind)
	}
}

// checkCoverage checks that the recording has what it is there for.
func checkCoverage(t *testing.T, messages [][]byte) {
	t.Helper()
	text := strings.Join(render(t, messages), "\n") + "\n"
	for _, want := range []string{
		"Begin ", "Commit ", "Origin ", "Relation ", "Type ", "Insert ", "Update ", "Delete ", "Truncate ", "Message ",
		" identity d", " identity f", " identity i", " identity n",
		" old K", " old O", " u\"\"", " n\"\"", " t\"\"", `t"NaN"`, `t"-Infinity"`, `t"ab    "`, `t"\\x00ff10"`,
		"Insert public.bare new\n", "cascade true restart identity true", "cascade false restart identity false",
		`transactional true "transactional" "content"`, `transactional false "immediate" "\x00\xff"`,
		origin, "Type public.mood", "Type public._mood", "Type .text", // for a domain over text
		`Sales "Nord".Kundin, größte`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the recording", want)
		}
	}
	if strings.Contains(text, "undone") {
		t.Error("a row of an aborted subtransaction is in the recording")
	}
}

// checkReplay applies the changes of public.everything to a map and compares the
// outcome with the table.
func checkReplay(t *testing.T, messages [][]byte, conn *pgx.Conn) {
	t.Helper()
	var d pgoutput.Decoder
	var arena pgoutput.Arena
	rows := make(map[string]pgoutput.Tuple)
	var table uint32
	for _, src := range messages {
		switch mustDecode(t, &d, src) {
		case pgoutput.TypeRelation:
			if d.Relation.Name == "everything" {
				table = d.Relation.OID
			}
		case pgoutput.TypeInsert:
			if d.Insert.RelationOID == table {
				rows[key(d.Insert.New)] = arena.Clone(d.Insert.New)
			}
		case pgoutput.TypeUpdate:
			if d.Update.RelationOID == table {
				delete(rows, key(d.Update.Old))
				rows[key(d.Update.New)] = arena.CloneOver(d.Update.New, d.Update.Old)
			}
		case pgoutput.TypeDelete:
			if d.Delete.RelationOID == table {
				delete(rows, key(d.Delete.Old))
			}
		}
	}
	var got []string
	for _, tuple := range rows {
		got = append(got, fmt.Sprint(columns(tuple)))
	}
	want := selectAll(t, conn)
	slices.Sort(got)
	slices.Sort(want)
	if len(want) == 0 || !slices.Equal(got, want) {
		t.Fatalf("replayed\n%s\nselected\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func selectAll(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	results, err := conn.PgConn().Exec(t.Context(), "SELECT * FROM everything").ReadAll() // text format
	if err != nil {
		t.Fatal(err)
	}
	var arena pgoutput.Arena
	var rows []string
	for _, values := range results[0].Rows {
		rows = append(rows, fmt.Sprint(columns(arena.Row(values))))
	}
	return rows
}

func key(t pgoutput.Tuple) string {
	_, data := t.Column(0)
	return string(data)
}
