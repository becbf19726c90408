package pgvalue_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/walwire/walwire/cdc/pgvalue/pgvaluetest"
	"github.com/walwire/walwire/internal/pgtest"
)

// TestKeyOrdersRandomValues sorts random values by PostgreSQL and follows the
// keys from each to the next.
func TestKeyOrdersRandomValues(t *testing.T) {
	const values = 2000
	conn := pgvaluetest.MustSession(t)
	r := rand.New(rand.NewPCG(7, 7))
	for typeName, generate := range map[string]func(*rand.Rand) string{
		"numeric":     randomNumeric,
		"float8":      func(r *rand.Rand) string { return fmt.Sprint(math.Float64frombits(r.Uint64())) },
		"float4":      func(r *rand.Rand) string { return fmt.Sprint(math.Float32frombits(r.Uint32())) },
		"int8":        func(r *rand.Rand) string { return strconv.FormatInt(int64(r.Uint64())>>r.IntN(64), 10) },
		"date":        func(r *rand.Rand) string { return randomDate(r) },
		"timestamp":   func(r *rand.Rand) string { return randomClock(r, randomDate(r), "") },
		"timestamptz": func(r *rand.Rand) string { return randomClock(r, randomDate(r), "+00") },
		"timetz":      func(r *rand.Rand) string { return fmt.Sprintf("%02d:00:00%+03d:30", r.IntN(24), r.IntN(15)-7) },
		"interval":    randomInterval,
		"text":        randomText,
		"char(6)":     randomText,
		"bytea":       func(r *rand.Rand) string { return fmt.Sprintf(`\x%016x`, r.Uint64())[:2+2*r.IntN(4)] },
	} {
		t.Run(typeName, func(t *testing.T) {
			list := make([]string, values)
			for i := range list {
				list[i] = generate(r)
			}
			typ := pgvaluetest.MustType(t, conn, typeName)
			pgtest.MustExec(t, conn, "CREATE TEMP TABLE random AS SELECT v::"+typeName+" FROM unnest($1::text[]) AS u(v)", list)
			defer pgtest.MustExec(t, conn, "DROP TABLE random")
			order := "v"
			if strings.Contains("text char(6)", typeName) {
				order = `v COLLATE "C"`
			}
			rows := pgvaluetest.MustRows(t, conn, "SELECT v, v = lag(v) OVER (ORDER BY "+order+") FROM random ORDER BY "+order)
			var before []byte
			for i, row := range rows {
				key, err := typ.AppendKey(nil, row[0])
				if err != nil {
					t.Fatal(err)
				}
				want := -1
				if string(row[1]) == "t" {
					want = 0
				}
				if got := bytes.Compare(before, key); i > 0 && got != want {
					t.Fatalf("%s before %s: the keys compare %d, want %d", rows[i-1][0], row[0], got, want)
				}
				before = key
			}
		})
	}
}

func randomNumeric(r *rand.Rand) string {
	digits := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0001234567899"[r.IntN(13)]
		}
		return string(b)
	}
	sign := []string{"", "-"}[r.IntN(2)]
	return sign + "0" + digits(r.IntN(6)) + "." + digits(1+r.IntN(6))
}

func randomDate(r *rand.Rand) string {
	year := 1 + r.IntN(3000)
	era := ""
	if r.IntN(4) == 0 {
		era = " BC"
	}
	return fmt.Sprintf("%04d-%02d-%02d%s", year, 1+r.IntN(12), 1+r.IntN(28), era)
}

func randomClock(r *rand.Rand, day, zone string) string {
	clock := fmt.Sprintf(" %02d:%02d:%02d.%d", r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1000000))
	if before, bc := strings.CutSuffix(day, " BC"); bc {
		return before + clock + zone + " BC"
	}
	return day + clock + zone
}

func randomInterval(r *rand.Rand) string {
	return fmt.Sprintf("%d mons %d days %d hours %d seconds", r.IntN(7)-3, r.IntN(121)-60, r.IntN(97)-48, r.IntN(3)-1)
}

func randomText(r *rand.Rand) string {
	b := make([]rune, r.IntN(4))
	for i := range b {
		b[i] = []rune(" aAbzäÖ日😀\u007f\t")[r.IntN(11)]
	}
	return string(b)
}
