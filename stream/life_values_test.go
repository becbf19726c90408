package stream_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/walwire/walwire/internal/apptest"
)

const valuesSchema = `
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE DOMAIN money2 AS numeric(12, 2);
CREATE TYPE hue AS ENUM ('red', 'dark "blue"');
CREATE TABLE vals (
	id int PRIMARY KEY, company int NOT NULL, v int NOT NULL DEFAULT 0,
	b boolean, i8 bigint, f4 real, f8 double precision, num numeric, money money2, mail email,
	ints int[], texts text[], dates date[], hues hue[], deep numeric[], doc jsonb, raw json, bin bytea, hue hue,
	tz timestamptz, ts timestamp, d date, tm time, ttz timetz, iv interval, ch char(5), vc varchar(9), u uuid, net inet, bits varbit, rng int4range,
	big text, bigdoc jsonb, twice int GENERATED ALWAYS AS (v * 2) STORED);
ALTER TABLE vals ALTER big SET STORAGE EXTERNAL;
ALTER TABLE vals ALTER bigdoc SET STORAGE EXTERNAL;
CREATE UNIQUE INDEX vals_identity ON vals (company, id);
ALTER TABLE vals REPLICA IDENTITY %s;
CREATE PUBLICATION walwire FOR TABLE vals;
DO $$ BEGIN -- since 18, where FULL makes writes fail otherwise
	IF current_setting('server_version_num')::int >= 180000 THEN
		ALTER PUBLICATION walwire SET (publish_generated_columns = stored);
	END IF;
END $$;`

const valuesConfig = `  vals: {table: public.vals, company: company, roles: {owner: {rows: true, columns: "*"}}}
`

// valuesRows are rows of vals, as assignments.
var valuesRows = []string{
	``,
	`b = true, i8 = 9223372036854775807, f4 = 'NaN', f8 = '-Infinity', num = 'NaN', money = 1.005, mail = 'a@b'`,
	`b = false, i8 = -9223372036854775808, f4 = 0.1, f8 = 1e-300, num = 'Infinity', money = -0.001`,
	`f4 = '-0', f8 = 12345678901234567890, num = '-Infinity'`,
	`num = 123456789012345678901234567890.000100, f8 = 0.1`,
	`ints = '{}', texts = '{"a,b","c\"d",NULL,"NULL","","\\\\"}', dates = '{infinity,"0044-03-15 BC",2026-03-01}', hues = '{red,"dark \"blue\""}'`,
	`ints = '{{1,2},{3,NULL}}', deep = '{1.50,NaN,Infinity}', texts = ARRAY[E'new\nline', E'tab\t', 'ü😀']`,
	`doc = '{"b": 1.0, "a": [null, true, "\u00e9"], "a ": 1e2}', raw = '{"b": 1.0,  "a": 1e2, "a": "\u00e9"}'`,
	`doc = 'null', raw = ' [ ] '`,
	`bin = '\x00ff0a5c27', hue = 'dark "blue"'`,
	`bin = '', tz = 'infinity', ts = '-infinity', d = 'infinity', tm = '24:00:00', ttz = '23:59:59.999999-15:59'`,
	`tz = '0044-03-15 12:00:00.5+00 BC', ts = '4713-01-01 00:00:00 BC', d = '4713-01-01 BC'`,
	`tz = '294276-12-31 23:59:59.999999+00', ts = '10000-01-01 00:00:00', d = '5874897-12-31'`,
	`tz = '2026-03-29 03:30:00 Europe/Berlin', ts = '2026-03-01 09:00:00', d = '2026-02-28', tm = '09:00', ttz = '09:00+02'`,
	`iv = '1 year -2 mons +3 days -04:05:06.000007'`,
	`iv = '-1 mons +400 days', ch = 'ab', vc = 'x  ', u = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', net = '10.0.0.1/8', bits = '10101', rng = '[1,5)'`,
	`iv = '0', ch = '', vc = ''`,
	`big = repeat('x"\', 60000), bigdoc = jsonb_build_object('k', repeat('y', 90000))`,
}

// Every value reads the same whether a snapshot brings it or the stream does: as an
// insert, as an update of the row, and beside an update of another column, which
// with an index as identity does not repeat what is stored out of line.
func TestLifeValues(t *testing.T) {
	for name, identity := range map[string]string{"full": "FULL", "index": "USING INDEX vals_identity"} {
		t.Run(name, func(t *testing.T) {
			s := apptest.Start(t, lifeOptions(strings.Replace(valuesSchema, "%s", identity, 1), valuesConfig, "vals"))
			const all, narrow, window = `{"table":"vals"}`, `{"table":"vals","columns":["v","big","num","iv"]}`, `{"table":"vals","orderBy":[["num","desc"],["iv","asc"]],"limit":30}`
			queries := []string{all, narrow, window}
			openAll := func(queries []string) (*apptest.Client, []*apptest.Query) {
				c := s.Connect(s.Owner("1"))
				var qs []*apptest.Query
				for i, q := range queries {
					qs = append(qs, c.Open(i+1, q))
				}
				return c, qs
			}
			open := func() (*apptest.Client, []*apptest.Query) { return openAll(queries) }
			unshared := make([]string, len(queries)) // a view of another predicate takes nothing from those
			live, streamed := open()
			same := func(what string, got []*apptest.Query) {
				t.Helper()
				for i, q := range queries {
					unshared[i] = strings.Replace(q, `{`, fmt.Sprintf(`{"where":[["v","!=",%d]],`, -len(what)), 1)
				}
				fresh, read := openAll(unshared)
				fresh.Close()
				for i, q := range queries {
					mustSame(t, what+" "+q, got[i], read[i])
				}
			}
			back := func(c *apptest.Client, qs []*apptest.Query) *apptest.Client {
				cursor := c.Cursor
				c.Close()
				c = s.Connect(s.Owner("1"))
				for i, q := range queries {
					c.Resume(i+1, q, qs[i], cursor)
				}
				s.Wait(c)
				return c
			}
			other, resumed := open()
			for id, row := range valuesRows { // one row comes by an update, one by an insert
				s.Exec(`INSERT INTO vals (id, company) VALUES ($1, 1)`, id)
				s.Exec(`UPDATE vals SET v = id` + strings.TrimSuffix(", "+row, ", ") + fmt.Sprintf(` WHERE id = %d`, id))
				s.Exec(fmt.Sprintf(`CREATE TEMP TABLE copied AS SELECT * FROM vals WHERE id = %d; ALTER TABLE copied DROP twice; UPDATE copied SET id = id + 100;
					INSERT INTO vals SELECT * FROM copied; DROP TABLE copied`, id))
			}
			s.Wait(live)
			live.Close() // nobody shows the rows: all come from the log
			same("written", streamed)
			for at, want := range map[string]any{
				"[1] num": "NaN", "[2] num": "Infinity", "[2] money": "0.00", "[1] f8": "-Infinity", "[10] tz": "infinity", "[10] d": "infinity",
				"[11] tz": "-000043-03-15T12:00:00.500000Z", "[14] iv": "P10M3DT-4H-5M-6.000007S", "[9] bin": "AP8KXCc=", "[15] ch": "ab   ",
			} {
				key, column, _ := strings.Cut(at, " ")
				if got := streamed[0].Rows[key][column]; got != want {
					t.Errorf("%s is %v, want %v", at, got, want)
				}
			}
			if _, ok := streamed[0].Rows["[1]"]["twice"]; ok {
				t.Error("a generated column is shown, which the stream does not carry")
			}
			other = back(other, resumed)
			same("written, resumed", resumed)
			live, streamed = open()
			s.Exec(`UPDATE vals SET v = v + 1`)
			s.Exec(`UPDATE vals SET company = 2 WHERE id IN (17, 15); UPDATE vals SET company = 1, v = 5 WHERE id IN (17, 15); UPDATE vals SET id = id + 1000 WHERE id > 110`)
			s.Wait(live)
			same("other columns written", streamed)
			back(other, resumed)
			same("other columns written, resumed", resumed)
			if wrong := testutil.ToFloat64(s.Hub().Metrics.Mismatches); wrong > 0 {
				t.Errorf("views disagreed %v times", wrong)
			}
		})
	}
}

func mustSame(t *testing.T, what string, got, want *apptest.Query) {
	t.Helper()
	text := func(r apptest.Row) string {
		j, _ := json.Marshal(r)
		return string(j)
	}
	if !slices.Equal(slices.Sorted(maps.Keys(got.Rows)), slices.Sorted(maps.Keys(want.Rows))) || !maps.Equal(got.Order, want.Order) {
		t.Fatalf("%s: keys or order differ", what)
	}
	for key, r := range want.Rows {
		if a, b := text(got.Rows[key]), text(r); a != b {
			t.Errorf("%s, row %s is\n%.3000s, a new client reads\n%.3000s", what, key, a, b)
		}
	}
}
