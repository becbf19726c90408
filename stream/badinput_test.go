package stream_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
)

// injection is a string that must never be more than data.
const injection = `'"; DROP TABLE appointments; --\$1 %s ${HOME} <script>`

// quoted is injection as a JSON string.
const quoted = `"'\"; DROP TABLE appointments; --\\$1 %s ${HOME} <script>"`

// badFrame is a frame that a client must not send, and what it is told.
type badFrame struct {
	frame string
	id    int
	code  string
	word  string // in the message
}

var malformed = map[string]badFrame{
	"empty":           {``, 0, "invalid-argument", "ends too early"},
	"blank":           {`  `, 0, "invalid-argument", "ends too early"},
	"cut":             {`{"type":"ping"`, 0, "invalid-argument", "ends too early"},
	"not JSON":        {`subscribe please`, 0, "invalid-argument", "not a JSON object"},
	"list":            {`[]`, 0, "invalid-argument", "not a JSON object"},
	"string":          {`"ping"`, 0, "invalid-argument", "not a JSON object"},
	"number":          {`5`, 0, "invalid-argument", "not a JSON object"},
	"null":            {`null`, 0, "invalid-argument", ""},
	"two values":      {`{"type":"ping"} {"type":"ping"}`, 0, "invalid-argument", "more than one"},
	"brace too many":  {`{"type":"ping"}}`, 0, "invalid-argument", ""},
	"bracket behind":  {`{"type":"ping"}]`, 0, "invalid-argument", ""},
	"deep":            {strings.Repeat(`[`, 60_000), 0, "invalid-argument", ""},
	"deep query":      {`{"type":"subscribe","id":5,"query":` + strings.Repeat(`{"a":`, 9_000) + `1` + strings.Repeat(`}`, 9_000) + `}`, 5, "invalid-argument", ""},
	"invalid UTF-8":   {"{\"type\":\"ping\",\"token\":\"\xff\xfe\"}", 0, "invalid-argument", "UTF-8"},
	"no type":         {`{"id":1}`, 0, "invalid-argument", "no type"},
	"unknown type":    {`{"type":"publish"}`, 0, "invalid-argument", "publish"},
	"upper-case type": {`{"type":"PING"}`, 0, "invalid-argument", "PING"},
	"type a number":   {`{"type":7}`, 0, "invalid-argument", "type"},
	"unknown member":  {`{"type":"ping","colour":"red"}`, 0, "invalid-argument", "colour"},
	"second auth":     {`{"type":"auth","token":"x"}`, 0, "unauthenticated", "not a signed JSON Web Token"},
	"id a string":     {`{"type":"subscribe","id":"5","query":{"table":"appointments"}}`, 0, "invalid-argument", "id"},
	"id negative":     {`{"type":"subscribe","id":-5,"query":{"table":"appointments"}}`, 0, "invalid-argument", "id"},
	"id broken":       {`{"type":"subscribe","id":1.5,"query":{"table":"appointments"}}`, 0, "invalid-argument", "id"},
	"id too large":    {`{"type":"subscribe","id":18446744073709551616,"query":{"table":"appointments"}}`, 0, "invalid-argument", "id"},
	"id zero":         {`{"type":"subscribe","id":0,"query":{"table":"appointments"}}`, 0, "invalid-argument", "positive integer"},
	"id missing":      {`{"type":"subscribe","query":{"table":"appointments"}}`, 0, "invalid-argument", "positive integer"},
	"id used":         {`{"type":"subscribe","id":1,"query":{"table":"appointments"}}`, 0, "invalid-argument", "already open"},

	"query missing":    {`{"type":"subscribe","id":5}`, 5, "invalid-argument", "query"},
	"query null":       {`{"type":"subscribe","id":5,"query":null}`, 5, "invalid-argument", ""},
	"query a string":   {`{"type":"subscribe","id":5,"query":"appointments"}`, 5, "invalid-argument", "query"},
	"query a list":     {`{"type":"subscribe","id":5,"query":["appointments"]}`, 5, "invalid-argument", "query"},
	"query empty":      {`{"type":"subscribe","id":5,"query":{}}`, 5, "invalid-argument", "table"},
	"query misspelt":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","wher":[]}}`, 5, "invalid-argument", "wher"},
	"table a number":   {`{"type":"subscribe","id":5,"query":{"table":5}}`, 5, "invalid-argument", "table"},
	"columns a string": {`{"type":"subscribe","id":5,"query":{"table":"appointments","columns":"id"}}`, 5, "invalid-argument", "columns"},
	"columns numbers":  {`{"type":"subscribe","id":5,"query":{"table":"appointments","columns":[1]}}`, 5, "invalid-argument", "columns"},
	"table unknown":    {`{"type":"subscribe","id":5,"query":{"table":"nonsense"}}`, 5, "permission-denied", "nonsense"},
	"table qualified":  {`{"type":"subscribe","id":5,"query":{"table":"public.appointments"}}`, 5, "permission-denied", ""},
	"table of system":  {`{"type":"subscribe","id":5,"query":{"table":"pg_authid"}}`, 5, "permission-denied", ""},
	"column unknown":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","columns":["nonsense"]}}`, 5, "permission-denied", "nonsense"},
	"column system":    {`{"type":"subscribe","id":5,"query":{"table":"appointments","columns":["ctid"]}}`, 5, "permission-denied", "ctid"},
	"order a string":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":"starts_at"}}`, 5, "invalid-argument", "orderBy"},
	"order direction":  {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":[["starts_at","down"]]}}`, 5, "invalid-argument", "orderBy[0]"},
	"order nulls":      {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":["price",["notes","asc","nulls"]]}}`, 5, "invalid-argument", "orderBy[1]"},
	"order twice":      {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":["price","price"]}}`, 5, "invalid-argument", "orderBy[1]"},
	"order unknown":    {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":["nonsense"]}}`, 5, "permission-denied", "nonsense"},
	"order injection":  {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":["price DESC; DROP TABLE appointments"]}}`, 5, "permission-denied", "DROP"},
	"limit zero":       {`{"type":"subscribe","id":5,"query":{"table":"appointments","limit":0}}`, 5, "invalid-argument", "limit"},
	"limit negative":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":[],"limitToLast":-1}}`, 5, "invalid-argument", "limitToLast"},
	"limit a fraction": {`{"type":"subscribe","id":5,"query":{"table":"appointments","limit":1.5}}`, 5, "invalid-argument", "limit"},
	"limit too large":  {`{"type":"subscribe","id":5,"query":{"table":"appointments","limit":10001}}`, 5, "resource-exhausted", "limits.rows"},
	"limits both":      {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":[],"limit":1,"limitToLast":1}}`, 5, "invalid-argument", "both"},
	"last unordered":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","limitToLast":1}}`, 5, "invalid-argument", "orderBy"},
	"start twice":      {`{"type":"subscribe","id":5,"query":{"table":"appointments","startAt":["x"],"startAfter":["x"]}}`, 5, "invalid-argument", "startAt"},
	"end twice":        {`{"type":"subscribe","id":5,"query":{"table":"appointments","endAt":["x"],"endBefore":["x"]}}`, 5, "invalid-argument", "endAt"},
	"start no id":      {`{"type":"subscribe","id":5,"query":{"table":"appointments","startAfter":["x"]}}`, 5, "invalid-argument", "startAfter"},
	"start too long":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","orderBy":["price"],"startAt":[1,"00000000-0000-0000-0000-0000000000a1",3]}}`, 5, "invalid-argument", "startAt"},
	"start a number":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","startAt":7}}`, 5, "invalid-argument", "startAt"},
	"resume a string":  {`{"type":"subscribe","id":5,"query":{"table":"appointments"},"resume":"x"}`, 0, "invalid-argument", "resume"},
	"resume misspelt":  {`{"type":"subscribe","id":5,"query":{"table":"appointments"},"resume":{"curser":"x"}}`, 0, "invalid-argument", "curser"},

	"wait without lsn":    {`{"type":"wait","id":6}`, 6, "invalid-argument", "lsn"},
	"wait for nonsense":   {`{"type":"wait","id":6,"lsn":"soon"}`, 6, "invalid-argument", "soon"},
	"wait for a number":   {`{"type":"wait","id":6,"lsn":16}`, 0, "invalid-argument", "lsn"},
	"wait with a tail":    {`{"type":"wait","id":6,"lsn":"0/1;x"}`, 6, "invalid-argument", "0/1;x"},
	"wait too far":        {`{"type":"wait","id":6,"lsn":"1FFFFFFFF/0"}`, 6, "invalid-argument", ""},
	"wait no time":        {`{"type":"wait","id":6,"lsn":"0/1","timeout_ms":0}`, 6, "invalid-argument", "timeout_ms"},
	"wait negative":       {`{"type":"wait","id":6,"lsn":"0/1","timeout_ms":-1}`, 6, "invalid-argument", "timeout_ms"},
	"wait for ages":       {`{"type":"wait","id":6,"lsn":"0/1","timeout_ms":30001}`, 6, "invalid-argument", "limits.wait_timeout"},
	"wait overflow":       {`{"type":"wait","id":6,"lsn":"0/1","timeout_ms":9223372036854775807}`, 6, "invalid-argument", "timeout_ms"},
	"wait a string of ms": {`{"type":"wait","id":6,"lsn":"0/1","timeout_ms":"1"}`, 0, "invalid-argument", "timeout_ms"},
	"wait not in time":    {`{"type":"wait","id":6,"lsn":"FFFFFFFF/FFFFFFFF","timeout_ms":1}`, 6, "deadline-exceeded", "FFFFFFFF/FFFFFFFF"},
}

// where gives a subscribe frame for subscription 5 with that filter.
func where(table, filter string) string {
	return fmt.Sprintf(`{"type":"subscribe","id":5,"query":{"table":%q,"where":%s}}`, table, filter)
}

// nested puts a condition inside n groups.
func nested(n int, condition string) string {
	return strings.Repeat(`{"not":`, n) + condition + strings.Repeat(`}`, n)
}

// repeated is a list of n times item.
func repeated(n int, item string) string {
	return `[` + strings.TrimSuffix(strings.Repeat(item+`,`, n), `,`) + `]`
}

var filters = map[string]badFrame{
	"not a list":         {where("appointments", `{"status":"confirmed"}`), 5, "invalid-argument", "where"},
	"a string":           {where("appointments", `"status = 'x'"`), 5, "invalid-argument", "where"},
	"flat condition":     {where("appointments", `["status","==","x"]`), 5, "invalid-argument", "where[0]"},
	"short condition":    {where("appointments", `[["status","=="]]`), 5, "invalid-argument", "where[0]"},
	"long condition":     {where("appointments", `[["status","==","x","y"]]`), 5, "invalid-argument", "where[0]"},
	"column a number":    {where("appointments", `[[1,"==","x"]]`), 5, "invalid-argument", "column"},
	"column unknown":     {where("appointments", `[["nonsense","==","x"]]`), 5, "permission-denied", "nonsense"},
	"column's case":      {where("appointments", `[["Status","==","x"]]`), 5, "permission-denied", "Status"},
	"operator unknown":   {where("appointments", `[["status","=","x"]]`), 5, "invalid-argument", "operator"},
	"operator SQL":       {where("appointments", `[["status","LIKE","x%"]]`), 5, "invalid-argument", "operator"},
	"operator a number":  {where("appointments", `[["status",1,"x"]]`), 5, "invalid-argument", "operator"},
	"group empty":        {where("appointments", `[{}]`), 5, "invalid-argument", "where[0]"},
	"group of two":       {where("appointments", `[{"and":[["status","==","x"]],"or":[["status","==","x"]]}]`), 5, "invalid-argument", "where[0]"},
	"group unknown":      {where("appointments", `[{"xor":[["status","==","x"]]}]`), 5, "invalid-argument", "xor"},
	"or of nothing":      {where("appointments", `[{"or":[]}]`), 5, "invalid-argument", "or"},
	"or not a list":      {where("appointments", `[{"or":["status","==","x"]}]`), 5, "invalid-argument", "or[0]"},
	"not a list of not":  {where("appointments", `[{"not":5}]`), 5, "invalid-argument", "not"},
	"in not a list":      {where("appointments", `[["status","in","x"]]`), 5, "invalid-argument", "in"},
	"in too long":        {where("appointments", `[["status","in",`+repeated(101, `"x"`)+`]]`), 5, "resource-exhausted", "100"},
	"in with null":       {where("appointments", `[["status","in",[null]]]`), 5, "invalid-argument", "null"},
	"too many":           {where("appointments", repeated(201, `["status","!=","x"]`)), 5, "resource-exhausted", "200"},
	"too deep":           {where("appointments", `[`+nested(11, `["status","!=","x"]`)+`]`), 5, "resource-exhausted", "10"},
	"NUL in text":        {where("appointments", `[["notes","==","a\u0000b"]]`), 5, "invalid-argument", "notes"},
	"NUL in a list":      {where("appointments", `[["notes","in",["\u0000"]]]`), 5, "invalid-argument", "notes"},
	"NUL in a prefix":    {where("appointments", `[["notes","starts-with","\u0000"]]`), 5, "invalid-argument", "notes"},
	"NUL in jsonb":       {where("clients", `[["preferences","==",{"a":"\u0000"}]]`), 5, "invalid-argument", "preferences"},
	"NUL in an array":    {where("clients", `[["tags","==",["\u0000"]]]`), 5, "invalid-argument", "tags"},
	"NUL in an element":  {where("clients", `[["tags","array-contains","\u0000"]]`), 5, "invalid-argument", "tags"},
	"NUL in the table":   {`{"type":"subscribe","id":5,"query":{"table":"appointments\u0000"}}`, 5, "permission-denied", ""},
	"NUL in the column":  {where("appointments", `[["status\u0000","==","x"]]`), 5, "permission-denied", ""},
	"NUL in the lsn":     {`{"type":"wait","id":5,"lsn":"0/1\u0000"}`, 5, "invalid-argument", ""},
	"uuid nonsense":      {where("appointments", `[["id","==","not-a-uuid"]]`), 5, "invalid-argument", "id"},
	"uuid a number":      {where("appointments", `[["staff_id","==",5]]`), 5, "invalid-argument", "staff_id"},
	"uuid prefix":        {where("appointments", `[["id","starts-with","00"]]`), 5, "invalid-argument", "id"},
	"text a number":      {where("appointments", `[["status","==",5]]`), 5, "invalid-argument", "status"},
	"text an object":     {where("appointments", `[["status","==",{}]]`), 5, "invalid-argument", "status"},
	"time nonsense":      {where("appointments", `[["starts_at",">","tomorrow"]]`), 5, "invalid-argument", "starts_at"},
	"time impossible":    {where("appointments", `[["starts_at",">","2026-02-30T00:00:00Z"]]`), 5, "invalid-argument", "starts_at"},
	"time a number":      {where("appointments", `[["starts_at",">",1767225600]]`), 5, "invalid-argument", "starts_at"},
	"numeric nonsense":   {where("appointments", `[["price",">","cheap"]]`), 5, "invalid-argument", "price"},
	"numeric a boolean":  {where("appointments", `[["price",">",true]]`), 5, "invalid-argument", "price"},
	"boolean a string":   {where("staff", `[["active","==","true"]]`), 5, "invalid-argument", "active"},
	"array a scalar":     {where("clients", `[["tags","==","vip"]]`), 5, "invalid-argument", "tags"},
	"array an order":     {where("clients", `[["tags","<",["vip"]]]`), 5, "invalid-argument", "tags"},
	"element a number":   {where("clients", `[["tags","array-contains",5]]`), 5, "invalid-argument", "tags"},
	"contains on text":   {where("clients", `[["name","array-contains","x"]]`), 5, "invalid-argument", "name"},
	"jsonb an order":     {where("clients", `[["preferences",">",{}]]`), 5, "invalid-argument", "preferences"},
	"is-null of nothing": {where("appointments", `[["notes","is-null",null]]`), 5, "invalid-argument", "is-null"},
	"less than null":     {where("appointments", `[["price","<",null]]`), 5, "invalid-argument", "price"},

	"injection as type":     {`{"type":` + quoted + `}`, 0, "invalid-argument", ""},
	"injection as table":    {`{"type":"subscribe","id":5,"query":{"table":` + quoted + `}}`, 5, "permission-denied", ""},
	"injection as column":   {`{"type":"subscribe","id":5,"query":{"table":"appointments","columns":[` + quoted + `]}}`, 5, "permission-denied", ""},
	"injection in where":    {where("appointments", `[[`+quoted+`,"==","x"]]`), 5, "permission-denied", ""},
	"injection as operator": {where("appointments", `[["status",`+quoted+`,"x"]]`), 5, "invalid-argument", ""},
	"injection as uuid":     {where("appointments", `[["id","==",`+quoted+`]]`), 5, "invalid-argument", ""},
	"injection as time":     {where("appointments", `[["starts_at","==",`+quoted+`]]`), 5, "invalid-argument", ""},
	"injection as numeric":  {where("appointments", `[["price","==",`+quoted+`]]`), 5, "invalid-argument", ""},
	"injection as group":    {where("appointments", `[{`+quoted+`:[]}]`), 5, "invalid-argument", ""},
	"injection as lsn":      {`{"type":"wait","id":5,"lsn":` + quoted + `}`, 5, "invalid-argument", ""},
}

// Frames that can't be right get a clear error each, end nothing else on their
// connection, and nobody else notices.
func TestBadFrames(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	insert(s, 1, companyA, ann, cat, "confirmed")
	bad := s.Connect(s.Owner(companyA))
	q := bad.Open(1, confirmed)
	for group, frames := range map[string]map[string]badFrame{"frame": malformed, "filter": filters} {
		for name, tc := range frames {
			t.Run(group+"/"+name, func(t *testing.T) {
				if err := bad.TrySend([]byte(tc.frame)); err != nil {
					t.Fatal(err)
				}
				mustRefuse(t, bad, tc.id, tc.code, tc.word)
				h.step(t)
			})
		}
	}
	t.Run("binary", func(t *testing.T) {
		bad.SendBinary([]byte(`{"type":"ping"}`))
		mustRefuse(t, bad, 0, "invalid-argument", "binary")
		h.step(t)
	})
	t.Run("the connection goes on", func(t *testing.T) {
		s.Exec(`UPDATE appointments SET notes = 'still' WHERE id = $1`, appointment(1))
		s.Wait(bad)
		mustEqualSelect(t, s, q, `SELECT * FROM appointments WHERE status = 'confirmed' AND company_id = '`+companyA+`'`)
		bad.Send(`{"type":"unsubscribe","id":1}`)
		if f := bad.Read(); f.Type != "unsubscribed" || f.ID != 1 {
			t.Fatalf("got %s", f.Raw)
		}
		bad.Send(`{"type":"unsubscribe","id":1}`) // never refused
		if f := bad.Read(); f.Type != "unsubscribed" || f.ID != 1 {
			t.Fatalf("got %s", f.Raw)
		}
		if q := bad.Open(1, confirmed); len(q.Rows) != 1 {
			t.Fatalf("an id that is free again shows %d rows", len(q.Rows))
		}
	})
	h.mustBeExact(t)
}

// A frame beyond limits.frame_bytes ends its connection and nothing else.
func TestLargeFrames(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	for name, size := range map[string]int{"one octet too many": 64<<10 + 1, "1 MiB": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			c := s.Connect(s.Owner(companyA))
			c.Open(1, confirmed)
			// The server need not read it all: only the close counts.
			_ = c.TrySend([]byte(`{"type":"ping","token":"` + strings.Repeat("x", size-26) + `"}`))
			if code, _ := c.ReadClose(); code != 1009 {
				t.Errorf("closed with %d, want 1009", code)
			}
			h.step(t)
		})
	}
	t.Run("as the first frame", func(t *testing.T) {
		c := apptest.Dial(t, s.WS())
		_ = c.TrySend([]byte(`{"type":"auth","token":"` + strings.Repeat("x", 1<<20) + `"}`))
		if code, _ := c.ReadClose(); code != 1009 {
			t.Errorf("closed with %d, want 1009", code)
		}
		h.step(t)
	})
	t.Run("OK", func(t *testing.T) {
		c := s.Connect(s.Owner(companyA))
		if err := c.TrySend([]byte(`{"type":"ping","id":3,"token":"` + strings.Repeat("x", 64<<10-33) + `"}`)); err != nil {
			t.Fatal(err)
		}
		if f := c.Read(); f.Type != "pong" || f.ID != 3 {
			t.Fatalf("got %s", f.Raw)
		}
		h.step(t)
	})
	h.mustBeExact(t)
}

// Every operator on every kind of column with every kind of value is either
// served or refused as the client's mistake: never the server's.
func TestFilterValues(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	insert(s, 1, companyA, ann, cat, "confirmed")
	c := s.Connect(s.Owner(companyA))
	columns := []string{"appointments.id", "appointments.notes", "appointments.starts_at", "appointments.price", "staff.active", "clients.tags", "clients.preferences"}
	operators := []string{"==", "!=", "<", ">=", "in", "not-in", "array-contains", "array-contains-any", "is-null", "starts-with"}
	values := []string{
		`null`, `true`, `1`, `-1.5`, `1e400`, `123456789012345678901234567890`, `""`, `"x"`, `"\u0000"`, `"\ud800"`, quoted,
		`"2026-03-01T09:00:00Z"`, `"infinity"`, `"NaN"`, `"` + companyA + `"`, `"{}"`, `[]`, `["x"]`, `[null]`, `[[["x"]]]`, `{}`, `{"a":[1]}`,
	}
	n, served := 0, 0
	for _, column := range columns {
		table, name, _ := strings.Cut(column, ".")
		for _, operator := range operators {
			for _, value := range values {
				n++
				q := c.Subscribe(n, fmt.Sprintf(`{"table":%q,"where":[[%q,%q,%s]]}`, table, name, operator, value))
				f := c.Read()
				switch {
				case f.Type == "error" && f.ID == n && f.Code == "invalid-argument":
					c.Forget(n)
					continue
				case f.Type != "data" || !q.Loaded:
					t.Errorf("%s %s %s: %.500s", column, operator, value, f.Raw)
					continue
				}
				served++
				c.Send(`{"type":"unsubscribe","id":%d}`, n)
				if f := c.Read(); f.Type != "unsubscribed" {
					t.Fatalf("got %.500s", f.Raw)
				}
			}
		}
		h.step(t)
	}
	t.Logf("%d filters, %d of them served", n, served)
	h.mustBeExact(t)
}

// What looks like SQL is a value like any other, wherever a value may stand.
func TestInjection(t *testing.T) {
	s := apptest.Start(t, apptest.Options{})
	h := startHonest(s)
	insert(s, 1, companyA, ann, cat, "confirmed")
	insert(s, 2, companyA, abe, cid, "confirmed")
	s.Exec(`UPDATE appointments SET notes = $2 WHERE id = $1`, appointment(1), injection)
	s.Exec(`UPDATE staff SET user_id = $2 WHERE id = $1`, ann, injection)
	s.Exec(`UPDATE clients SET tags = ARRAY['a', $2], preferences = jsonb_build_object($2::text, $2::text) WHERE id = $1`, cat, injection)
	c := s.Connect(s.Owner(companyA))
	for i, query := range []string{
		`{"table":"appointments","where":[["notes","==",` + quoted + `]]}`,
		`{"table":"appointments","where":[["notes","in",["x",` + quoted + `]]]}`,
		`{"table":"appointments","where":[["notes","starts-with",` + quoted + `]]}`,
		`{"table":"clients","where":[["tags","==",["a",` + quoted + `]]]}`,
		`{"table":"clients","where":[["tags","array-contains",` + quoted + `]]}`,
		`{"table":"clients","where":[["tags","array-contains-any",["b",` + quoted + `]]]}`,
		`{"table":"clients","where":[["preferences","==",{` + quoted + `:` + quoted + `}]]}`,
	} {
		if q := c.Open(i+1, query); len(q.Rows) != 1 {
			t.Errorf("%s shows %d rows, want 1", query, len(q.Rows))
		}
		h.step(t)
	}
	t.Run("as a user", func(t *testing.T) {
		staff := s.Connect(s.Token(apptest.Claims{"sub": injection, "company_id": companyA, "roles": []string{"staff"}}))
		if q := staff.Open(1, `{"table":"appointments"}`); len(q.Rows) != 1 {
			t.Errorf("%d rows, want the user's own", len(q.Rows))
		}
	})
	for name, claims := range map[string]apptest.Claims{
		"as a company": {"sub": "x", "company_id": injection, "roles": []string{"owner"}},
		"as a role":    {"sub": "x", "company_id": companyA, "roles": []string{injection, "receptionist' OR true"}},
	} {
		t.Run(name, func(t *testing.T) {
			other := s.Connect(s.Token(claims))
			q := other.Subscribe(1, `{"table":"appointments"}`)
			if f := other.Read(); len(q.Rows) != 0 || f.Type == "error" && f.Code != "permission-denied" {
				t.Errorf("%d rows: %s", len(q.Rows), f.Raw)
			}
		})
	}
	h.mustBeExact(t)
}
