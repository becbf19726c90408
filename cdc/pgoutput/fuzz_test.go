package pgoutput_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// FuzzDecode holds the decoder to three things: it never panics; what it
// accepts, pglogrepl reads as the same; what it refuses and pglogrepl
// reads all the same is something that pglogrepl does not check.
func FuzzDecode(f *testing.F) {
	for _, s := range samples() {
		f.Add(s.src)
	}
	recorded, err := readRecording(recordingFile)
	if err != nil {
		f.Fatal(err)
	}
	for _, src := range recorded {
		if len(src) < 1000 { // long ones slow the mutations down
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var d pgoutput.Decoder
		kind, err := d.Decode(src)
		if err == nil {
			if diff := difference(&d, kind, src); diff != "" {
				t.Fatalf("%s %s\n%s", kind, quote(src), diff)
			}
			checkClones(t, &d, kind)
			return
		}
		checkError(t, src, err)
		if claimsMuch(src) {
			return
		}
		var format *pgoutput.FormatError
		errors.As(err, &format)
		if m, theirErr := parse(src); theirErr == nil && !format.Lenient() {
			t.Fatalf("%v, but pglogrepl reads %v", err, theirs(m))
		}
	})
}

// checkError checks that err says where the trouble with src is.
func checkError(t *testing.T, src []byte, err error) {
	t.Helper()
	var format *pgoutput.FormatError
	if !errors.As(err, &format) {
		t.Fatalf("%s: error %T %v, want a *FormatError", quote(src), err, err)
	}
	if format.Field == "" || format.Offset < 0 || format.Offset > len(src) {
		t.Fatalf("%s: error %+v names no field in it", quote(src), format)
	}
	if len(src) > 0 && byte(format.Message) != src[0] {
		t.Fatalf("%s: error names message %s", quote(src), format.Message)
	}
}

// checkClones checks that a row's copies hold what the row holds.
func checkClones(t *testing.T, d *pgoutput.Decoder, kind pgoutput.MessageType) {
	t.Helper()
	var tuples []pgoutput.Tuple
	switch kind {
	case pgoutput.TypeInsert:
		tuples = []pgoutput.Tuple{d.Insert.New}
	case pgoutput.TypeUpdate:
		tuples = []pgoutput.Tuple{d.Update.Old, d.Update.New}
	case pgoutput.TypeDelete:
		tuples = []pgoutput.Tuple{d.Delete.Old}
	}
	var arena pgoutput.Arena
	for _, tuple := range tuples {
		mustEqual(t, arena.Clone(tuple), tuple)
		mustEqual(t, arena.CloneOver(tuple, tuple), tuple)
	}
}

// claimsMuch reports whether src may hold a count far beyond its own size.
// pglogrepl allocates what a count claims before it looks whether it is there.
func claimsMuch(src []byte) bool {
	for i := range src {
		if rest := src[i:]; len(rest) > 4 && binary.BigEndian.Uint32(rest[1:]) > 1<<20 {
			switch {
			case i == 0 && rest[0] == 'T', rest[0] == 't', rest[0] == 'b':
				return true
			}
		}
	}
	return false
}
