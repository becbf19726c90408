package pgoutput_test

import (
	"reflect"
	"testing"

	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/internal/pgtest"
)

// TestGenerated_Live checks generated columns: never sent before PostgreSQL 18,
// and from then on like any other where the publication asks for them.
func TestGenerated_Live(t *testing.T) {
	with, names := "", []string{"id"}
	want := row{{'t', "7"}}
	if pgtest.Version(t) >= 180000 {
		with, names = " WITH (publish_generated_columns = stored)", []string{"id", "twice"}
		want = append(want, column{'t', "14"})
	}
	messages, _ := record(t, []string{
		`CREATE TABLE computed (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (2 * id) STORED)`,
		`CREATE PUBLICATION ` + publication + ` FOR TABLE computed` + with,
	}, []string{`INSERT INTO computed VALUES (7)`})
	compare(t, messages)

	var d pgoutput.Decoder
	var gotNames []string
	var got row
	for _, src := range messages {
		switch mustDecode(t, &d, src) {
		case pgoutput.TypeRelation:
			for _, c := range d.Relation.Columns {
				gotNames = append(gotNames, c.Name)
			}
		case pgoutput.TypeInsert:
			got = columns(d.Insert.New)
		}
	}
	if !reflect.DeepEqual(gotNames, names) || !reflect.DeepEqual(got, want) {
		t.Fatalf("columns %v hold %v, want %v to hold %v", gotNames, got, names, want)
	}
}
