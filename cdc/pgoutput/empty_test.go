package pgoutput_test

import (
	"slices"
	"testing"

	"github.com/walwire/walwire/cdc/pgoutput"
	"github.com/walwire/walwire/internal/pgtest"
)

// TestEmptyTransactions checks a transaction without a published change: up to 14
// the begin and the end of it are sent.
func TestEmptyTransactions(t *testing.T) {
	messages, _ := record(t, []string{
		`CREATE TABLE unpublished (id int PRIMARY KEY)`,
		`CREATE PUBLICATION ` + publication,
	}, []string{`INSERT INTO unpublished VALUES (7)`})
	var d pgoutput.Decoder
	var got []pgoutput.MessageType
	for _, src := range messages {
		got = append(got, mustDecode(t, &d, src))
	}
	want := []pgoutput.MessageType{pgoutput.TypeBegin, pgoutput.TypeMessage, pgoutput.TypeCommit} // of record's own
	if pgtest.Version(t) < 150000 {
		want = append([]pgoutput.MessageType{pgoutput.TypeBegin, pgoutput.TypeCommit}, want...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
