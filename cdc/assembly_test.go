package cdc

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgoutput"
)

// testAssembly knows the relations 1 "t" (id, v) and 2 "u" (id).
func testAssembly(t *testing.T, maxTransaction int) *assembly {
	t.Helper()
	c := NewConsumer(ConsumerOptions{MaxTransactionBytes: maxTransaction, Log: slog.New(slog.DiscardHandler)}, NewFeed(1<<20))
	a := &assembly{consumer: c, relations: make(map[uint32]*Relation)}
	mustAdd(t, a, wireRelation(1, "t", "id", "v"), wireRelation(2, "u", "id"))
	return a
}

// mustAdd adds messages and returns the transaction that the last one completes.
func mustAdd(t *testing.T, a *assembly, messages ...wire) (tx *Transaction) {
	t.Helper()
	for _, m := range messages {
		var err error
		if tx, err = a.add(m); err != nil {
			t.Fatalf("add %q: %v", m, err)
		}
	}
	return tx
}

func TestAssemblyTransaction(t *testing.T) {
	a := testAssembly(t, 0)
	tx := mustAdd(t, a, wireBegin(7, 100), wireInsert(1, "1", "a"),
		wire{'U'}.u32(1).tuple('O', "1", "long").tuple('N', "2", "~"),
		wire{'U'}.u32(1).tuple('K', "1", "").tuple('N', "2", "~"),
		wire{'U'}.u32(1).tuple('N', "2", "b"),
		wire{'D'}.u32(1).tuple('O', "2", ""),
		append(wire{'M', 1}.u64(90).text("other"), wire{}.bytes("program")...),
		wireTruncate(2, 1), wireCommit(100, 120))
	if tx == nil || tx.XID != 7 || tx.Commit != 100 || tx.End != 120 || tx.Oversize || tx.Touched != nil {
		t.Fatalf("got %+v", tx)
	}
	want := "I t(1,a) U t(1,long>2,long) U t(1,>2,~) U t(2,b) D t(2,>) T u T t"
	if got := renderTx(tx); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var incomplete []bool
	for _, c := range tx.Changes {
		incomplete = append(incomplete, c.Incomplete)
	}
	// A TOASTed value is known from a whole old row, not from a key.
	if !slices.Equal(incomplete, []bool{false, false, true, false, false, false, false}) {
		t.Errorf("incomplete: %v", incomplete)
	}
	if tx.Bytes <= 0 {
		t.Errorf("Bytes = %d", tx.Bytes)
	}
	if a.tx != nil {
		t.Error("a transaction is open after COMMIT")
	}
	if tx = mustAdd(t, a, wireBegin(8, 130), wireCommit(130, 140)); tx == nil || len(tx.Changes) != 0 || tx.End != 140 {
		t.Errorf("an empty transaction gave %+v", tx)
	}
}

// The rows must not alias the message: its memory is used again for the next one.
func TestAssemblyOwnsRows(t *testing.T) {
	a := testAssembly(t, 0)
	mustAdd(t, a, wireBegin(7, 100))
	row := wireInsert(1, "1", "before")
	mustAdd(t, a, row)
	copy(row[len(row)-6:], "after!")
	if got := renderTx(mustAdd(t, a, wireCommit(100, 120))); got != "I t(1,before)" {
		t.Errorf("got %s", got)
	}
}

// A new description replaces the old one for the changes behind it only.
func TestAssemblyRelationChanges(t *testing.T) {
	a := testAssembly(t, 0)
	tx := mustAdd(t, a, wireBegin(7, 100), wireInsert(1, "1", "a"),
		wireRelation(1, "t2", "id", "v", "w"), wireInsert(1, "1", "a", "b"), wireCommit(100, 120))
	if got := renderTx(tx); got != "I t(1,a) I t2(1,a,b)" {
		t.Errorf("got %s", got)
	}
}

func TestAssemblyErrors(t *testing.T) {
	for _, tt := range []struct {
		name     string
		messages []wire
		want     string
		fatal    bool
	}{
		{"BeginInside", []wire{wireBegin(7, 100), wireBegin(8, 110)}, "BEGIN inside a transaction", false},
		{"CommitOutside", []wire{wireCommit(100, 120)}, "COMMIT without BEGIN", false},
		{"CommitTwice", []wire{wireBegin(7, 100), wireCommit(100, 120), wireCommit(100, 120)}, "COMMIT without BEGIN", false},
		{"CommitOfAnother", []wire{wireBegin(7, 100), wireCommit(101, 120)}, "COMMIT at 0/65 ends the transaction announced for 0/64", false},
		{"UnknownRelation", []wire{wireBegin(7, 100), wireInsert(9, "1")}, "relation 9, which was not described", false},
		{"TruncateUnknownRelation", []wire{wireBegin(7, 100), wireTruncate(1, 9)}, "relation 9, which was not described", false},
		{"ChangeOutside", []wire{wireInsert(1, "1", "a")}, "change of public.t outside a transaction", false},
		{"TruncatedBegin", []wire{wireBegin(7, 100)[:15]}, "can't be followed: decode Begin message", true},
		{"TruncatedCommit", []wire{wireBegin(7, 100), wireCommit(100, 120)[:9]}, "can't be followed: decode Commit message", true},
		{"TruncatedRelation", []wire{wireRelation(3, "w", "id")[:12]}, "can't be followed: decode Relation message", true},
		{"TruncatedTruncate", []wire{wireBegin(7, 100), wireTruncate(1, 2)[:9]}, "can't be followed: decode Truncate message", true},
		{"UnknownMessage", []wire{{'z', 1, 2}}, "can't be followed: decode", true},
		{"EmptyMessage", []wire{{}}, "can't be followed: decode", true},
		{"TruncatedRowWithoutRelation", []wire{wireBegin(7, 100), wire{'I', 0, 0}}, "can't be followed: decode Insert message", true},
		{"TruncatedRowOutside", []wire{wireInsert(1, "1", "a")[:12]}, "can't be followed: decode Insert message", true},
		{"TruncatedRowOfUnknownRelation", []wire{wireBegin(7, 100), wireInsert(9, "1", "a")[:12]}, "relation 9, which was not described", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := testAssembly(t, 0)
			last := len(tt.messages) - 1
			mustAdd(t, a, tt.messages[:last]...)
			tx, err := a.add(tt.messages[last])
			if err == nil || !strings.Contains(err.Error(), tt.want) || tx != nil {
				t.Fatalf("got %v, %v, want an error with %q", tx, err, tt.want)
			}
			if IsFatal(err) != tt.fatal {
				t.Errorf("fatal: %t, want %t: %v", IsFatal(err), tt.fatal, err)
			}
		})
	}
}

// A row that can't be read is a change that says so, at its place in its transaction:
// the others around it arrive.
func TestAssemblyUndecodable(t *testing.T) {
	update := wire{'U'}.u32(1).tuple('O', "1", "a").tuple('N', "2", "b")
	for _, tt := range []struct {
		name string
		row  wire
	}{
		{"TruncatedInsert", wireInsert(1, "1", "a")[:12]},
		{"TruncatedUpdate", update[:len(update)-3]},
		{"TruncatedDelete", wire{'D'}.u32(1).tuple('O', "1", "a")[:9]},
		{"UnknownColumnKind", append(wire{'I'}.u32(1).tuple('N', "1")[:8], 'x', 0)},
		{"TooManyColumns", wireInsert(1, "1", "a", "b")},
		{"TooFewColumns", wireInsert(1, "1")},
		{"NoColumns", wireInsert(1)},
		{"OldTooFewColumns", wire{'U'}.u32(1).tuple('O', "1").tuple('N', "2", "b")},
		{"DeleteTooFewColumns", wire{'D'}.u32(1).tuple('K', "1")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := testAssembly(t, 0)
			tx := mustAdd(t, a, wireBegin(7, 100), wireInsert(2, "1"), tt.row, wireInsert(2, "2"), wireCommit(100, 120))
			if got := renderTx(tx); got != "I u(1) ! t I u(2)" {
				t.Fatalf("got %s", got)
			}
			if bad := tx.Changes[1]; bad.Err == nil || bad.Relation.OID != 1 || bad.Incomplete || bad.OldKind != 0 {
				t.Errorf("got %+v", bad)
			}
		})
	}
	var format *pgoutput.FormatError
	a := testAssembly(t, 0)
	tx := mustAdd(t, a, wireBegin(7, 100), wireInsert(1, "1", "a")[:12], wireCommit(100, 120))
	if !errors.As(tx.Changes[0].Err, &format) || format.RelationOID != 1 {
		t.Errorf("error %v does not say where", tx.Changes[0].Err)
	}
}

func TestAssemblyOversize(t *testing.T) {
	a := testAssembly(t, 10_000)
	mustAdd(t, a, wireRelation(3, "w", "id"), wireRelation(4, "x", "id"), wireBegin(7, 100), wireInsert(2, "1"))
	for n := range 100 {
		mustAdd(t, a, wireInsert(1, fmt.Sprint(n), strings.Repeat("v", 100)))
	}
	if !a.tx.Oversize || a.tx.Changes != nil || a.tx.Bytes != 0 {
		t.Fatalf("after 100 rows of 100 octets: oversize %t, %d changes, %d octets", a.tx.Oversize, len(a.tx.Changes), a.tx.Bytes)
	}
	// What comes behind the bound counts too: by row, by TRUNCATE, and unreadable.
	tx := mustAdd(t, a, wireTruncate(3), wireInsert(4, "1")[:10], wireCommit(100, 120))
	var touched []string
	for _, rel := range tx.Touched {
		touched = append(touched, rel.Name)
	}
	slices.Sort(touched)
	if !tx.Oversize || len(tx.Changes) != 0 || !slices.Equal(touched, []string{"t", "u", "w", "x"}) {
		t.Errorf("oversize %t, %d changes, touched %v", tx.Oversize, len(tx.Changes), touched)
	}
	if tx = mustAdd(t, a, wireBegin(8, 130), wireInsert(1, "1", "a"), wireCommit(130, 140)); tx.Oversize || renderTx(tx) != "I t(1,a)" {
		t.Errorf("the next transaction: oversize %t, %s", tx.Oversize, renderTx(tx))
	}
}

// An endless transaction takes no more memory than the bound allows.
func TestAssemblyOversizeMemory(t *testing.T) {
	const bound = 4 << 20
	a := testAssembly(t, bound)
	mustAdd(t, a, wireBegin(7, 100))
	row := wireInsert(1, "12345678", strings.Repeat("v", 100))
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, most := heap(), uint64(0)
	for n := range 1_000_000 {
		if _, err := a.add(row); err != nil {
			t.Fatal(err)
		}
		if n%100_000 == 10_000 {
			most = max(most, heap())
		}
	}
	if grown := int64(most) - int64(before); grown > 3*bound {
		t.Errorf("1 million rows of 140 octets took %d octets, the bound is %d", grown, bound)
	}
	if tx := mustAdd(t, a, wireCommit(100, 120)); !tx.Oversize || len(tx.Touched) != 1 {
		t.Errorf("oversize %t, touched %d relations", tx.Oversize, len(tx.Touched))
	}
}
