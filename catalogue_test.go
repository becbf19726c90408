package walwire_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/demo"
	"github.com/walwire/walwire/internal/pgtest"
	"github.com/walwire/walwire/mapping"
)

var update = flag.Bool("update", false, "write testdata/catalogue anew")

// everything is a subscription to all events.
const everything = `{"names":["*"]}`

// catalogue is the script of statements that raises every event of the example.
func catalogue(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("examples/catalogue.sql")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// runCatalogue runs the script as psql does: statement by statement.
func runCatalogue(t *testing.T, db *pgx.Conn, script string) {
	t.Helper()
	for _, statement := range strings.SplitAfter(script, ";\n") {
		pgtest.MustExec(t, db, statement)
	}
}

// What the script raises, as each of the demo's people is told it. The files were read
// by people, line by line: who gets what, and which columns of it.
func TestCatalogue(t *testing.T) {
	s := apptest.Prepare(t, apptest.Options{})
	if err := demo.Seed(t.Context(), s.AdminURL); err != nil {
		t.Fatal(err)
	}
	s.Run()
	roles := []string{"owner", "receptionist", "staff", "client"}
	clients, feeds := make(map[string]*apptest.Client), make(map[string]*apptest.Feed)
	for _, role := range roles {
		clients[role] = s.Connect(s.Token(demo.Principals()[role].Claims()))
		feeds[role] = clients[role].Listen(1, everything)
	}
	script := catalogue(t)
	runCatalogue(t, s.DB, script)
	n := normaliser{script: script, seen: make(map[string]map[string]string)}
	for _, role := range roles {
		s.Wait(clients[role])
		var got strings.Builder
		for _, e := range feeds[role].Events {
			got.WriteString(n.normalise(string(e.Raw)) + "\n")
			if !slices.Contains(feeds[role].Names, e.Event) {
				t.Errorf("%s is told %s, which is not among what it was said to get", role, e.Event)
			}
		}
		compareGolden(t, filepath.Join("testdata", "catalogue", role+".ndjson"), got.String())
	}
	want := eventNames(s.Config)
	if got := namesOf(feeds["owner"].Events); !slices.Equal(got, want) {
		t.Errorf("the owner is told %v, want %v", got, want)
	}
	feeds["owner"].Events = nil
	runCatalogue(t, s.DB, script)
	s.Wait(clients["owner"])
	if got := namesOf(feeds["owner"].Events); !slices.Equal(got, want) {
		t.Errorf("when the script runs again, the owner is told %v, want %v", got, want)
	}
}

// namesOf gives the events' names, each once.
func namesOf(events []apptest.Event) []string {
	var names []string
	for _, e := range events {
		names = append(names, e.Event)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// normaliser puts placeholders where two runs differ: the same for the same value, and
// the same in all files.
type normaliser struct {
	script string
	seen   map[string]map[string]string // by kind and value
}

var (
	uuids     = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	eventIDs  = regexp.MustCompile(`"id":"[0-9a-f]+-[0-9a-f]+-[0-9a-f]+"`)
	positions = regexp.MustCompile(`"position":"[0-9A-F]+/[0-9A-F]+"`)
	times     = regexp.MustCompile(`"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[0-9:.]*Z"`)
)

func (n *normaliser) normalise(event string) string {
	event = uuids.ReplaceAllStringFunc(event, func(v string) string { return n.number("uuid", v) })
	event = eventIDs.ReplaceAllStringFunc(event, func(v string) string { return `"id":"` + n.number("event", v) + `"` })
	event = positions.ReplaceAllStringFunc(event, func(v string) string { return `"position":"` + n.number("commit", v) + `"` })
	return times.ReplaceAllStringFunc(event, func(v string) string {
		if m := times.FindStringSubmatch(v); strings.Contains(n.script, m[1]+" "+m[2]+"Z") {
			return v // the script says it
		}
		return `"<time>"`
	})
}

func (n *normaliser) number(kind, value string) string {
	if n.seen[kind] == nil {
		n.seen[kind] = make(map[string]string)
	}
	if n.seen[kind][value] == "" {
		n.seen[kind][value] = fmt.Sprintf("<%s %d>", kind, len(n.seen[kind])+1)
	}
	return n.seen[kind][value]
}

func compareGolden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(gotLines), len(wantLines)) {
		var g, w string
		if i < len(gotLines) {
			g = gotLines[i]
		}
		if i < len(wantLines) {
			w = wantLines[i]
		}
		if g != w {
			t.Fatalf("%s:%d: told\n%s\nwant (-update, if it is right now)\n%s", file, i+1, g, w)
		}
	}
}

// eventNames are the events of a configuration, each once.
func eventNames(c *mapping.Config) []string {
	var names []string
	for _, t := range c.Tables {
		for _, e := range t.Events {
			names = append(names, e.Event)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Without one rule, whichever, the owner is told everything but what this rule tells:
// so each rule is needed, and none does another's work. All servers follow the same
// database, each with a slot of its own, so the script runs once.
func TestCatalogueRules(t *testing.T) {
	cluster := pgtest.New(t, map[string]string{"max_replication_slots": "100", "max_wal_senders": "100", "max_connections": "1000"})
	s := apptest.Prepare(t, apptest.Options{AdminURL: pgtest.DatabaseIn(t, cluster.URL())})
	if err := demo.Seed(t.Context(), s.AdminURL); err != nil {
		t.Fatal(err)
	}
	servers := []*apptest.Server{s}
	var names []string // by the rule's place among all
	for i, table := range s.Config.Tables {
		for j, e := range table.Events {
			names = append(names, e.Event)
			servers = append(servers, apptest.Prepare(t, apptest.Options{AdminURL: s.AdminURL, Edit: func(c *mapping.Config) {
				c.Tables[i].Events = slices.Delete(c.Tables[i].Events, j, j+1)
			}}))
		}
	}
	launch(t, servers)
	clients, feeds := make([]*apptest.Client, len(servers)), make([]*apptest.Feed, len(servers))
	for i, s := range servers {
		clients[i] = s.Connect(s.Token(demo.Principals()["owner"].Claims()))
		feeds[i] = clients[i].Listen(1, everything)
	}
	runCatalogue(t, s.DB, catalogue(t))
	for i, s := range servers {
		s.Wait(clients[i])
	}
	all := feeds[0].Events
	for ordinal, name := range names {
		var want, got []string
		for _, e := range all {
			if text, told := withoutRule(t, e, ordinal); told {
				want = append(want, text)
			}
		}
		for _, e := range feeds[ordinal+1].Events {
			got = append(got, string(e.Raw))
		}
		if len(want) == len(all) {
			t.Errorf("%s, rule %d: the script raises nothing by it", name, ordinal)
		}
		if !slices.Equal(got, want) {
			t.Errorf("without %s, rule %d: told %d events, want %d of %d", name, ordinal, len(got), len(want), len(all))
		}
	}
}

// launch runs servers side by side until the test ends.
func launch(t *testing.T, servers []*apptest.Server) {
	t.Helper()
	var ended sync.WaitGroup
	t.Cleanup(ended.Wait)
	for _, s := range servers {
		_, stop := s.Launch()
		t.Cleanup(func() { ended.Go(stop) })
	}
	for _, s := range servers {
		select {
		case <-s.Ready():
		case <-time.After(time.Minute):
			t.Fatal("a server is not ready after a minute")
		}
	}
}

// withoutRule is an event as it is told where a rule is not there: not at all where it is
// the rule's, else the same but for its id, whose last part is the rule's place.
func withoutRule(t *testing.T, e apptest.Event, ordinal int) (text string, told bool) {
	t.Helper()
	cut := strings.LastIndexByte(e.ID, '-')
	at, err := strconv.ParseInt(e.ID[cut+1:], 16, 32)
	if err != nil {
		t.Fatalf("the id of %s: %v", e.Raw, err)
	}
	if int(at) > ordinal {
		at--
	} else if int(at) == ordinal {
		return "", false
	}
	return strings.Replace(string(e.Raw), `"id":"`+e.ID+`"`, `"id":"`+e.ID[:cut+1]+strconv.FormatInt(at, 16)+`"`, 1), true
}
