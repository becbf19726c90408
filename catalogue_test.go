package walwire_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	eventIDs  = regexp.MustCompile(`"id":"[\w-]{22}"`)
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

// Without one rule, whichever, the owner is told everything but some events of its name;
// and each event is missing without one rule, and only that: none does another's work. All servers follow the same
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
	by := make([]string, len(all)) // the rules, each event's
	for rule, name := range names {
		missing, rest := without(all, feeds[rule+1].Events)
		if len(rest) > 0 {
			t.Errorf("without %s, rule %d: told what is not told with it: %s", name, rule, rest[0].Raw)
		}
		if len(missing) == 0 {
			t.Errorf("%s, rule %d: the script raises nothing by it", name, rule)
		}
		for _, i := range missing {
			if by[i] += fmt.Sprintf(" %d", rule); all[i].Event != name {
				t.Errorf("without %s, rule %d: not told %s", name, rule, all[i].Raw)
			}
		}
	}
	for i, rules := range by {
		if strings.Count(rules, " ") != 1 {
			t.Errorf("raised by the rules%s: %s", rules, all[i].Raw)
		}
	}
}

// without finds which of the events, by place, are missing in others that are in the same
// order; and the rest of these, which are none of the events. Ids are not compared: a
// rule's place in the configuration is part of them.
func without(events, others []apptest.Event) (missing []int, rest []apptest.Event) {
	plain := func(e apptest.Event) string { return strings.Replace(string(e.Raw), e.ID, "", 1) }
	for i, e := range events {
		if len(others) > 0 && plain(e) == plain(others[0]) {
			others = others[1:]
		} else {
			missing = append(missing, i)
		}
	}
	return missing, others
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
		case <-time.After(5 * time.Minute):
			t.Fatal("a server is not ready after 5 minutes")
		}
	}
}
