package mapping

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/goccy/go-yaml/ast"
)

// defaultScheduleTimeout is how long a statement may take that says nothing of it.
const defaultScheduleTimeout = 30 * time.Second

// Schedules are SQL statements that one of all servers of a slot runs, each at its
// interval.
type Schedules struct {
	// DatabaseURL is where they run, as a role of their own. Empty: they are off.
	DatabaseURL Secret
	// DatabasePasswordFile is what Config.DatabasePasswordFile is, for that URL.
	DatabasePasswordFile string
	// Statements are in the file's order.
	Statements []ScheduleConfig
}

// ScheduleConfig is one statement.
type ScheduleConfig struct {
	Name    string
	Every   time.Duration // from the start of a run to that of the next
	Timeout time.Duration // of one run
	SQL     string
}

// Enabled reports whether there is something to run, and a database to run it in.
func (s Schedules) Enabled() bool { return len(s.Statements) > 0 && !s.DatabaseURL.IsZero() }

func (d *decoder) schedules(n ast.Node, path string, s *Schedules) {
	d.object(n, path,
		field{"database_url", "give the URL of a role of its own, that may do what the statements do and nothing else; empty, the schedules are off", d.secretField(&s.DatabaseURL)},
		field{"database_password_file", "", d.pathField(&s.DatabasePasswordFile)},
		field{"statements", "name at least one statement", func(n ast.Node, path string) {
			entries, _ := d.entries(n, path)
			s.Statements = make([]ScheduleConfig, len(entries))
			for i, e := range entries {
				d.schedule(e, &s.Statements[i])
			}
		}},
	)
}

func (d *decoder) schedule(e entry, s *ScheduleConfig) {
	s.Name, s.Timeout = e.name, defaultScheduleTimeout
	d.object(e.value, e.path,
		field{"every", "say how often to run it, as in 1m", d.durationField(&s.Every)},
		field{"timeout", "", d.durationField(&s.Timeout)},
		field{"sql", "give the statement", func(n ast.Node, path string) { // as it stands, as a rule
			var ok bool
			if s.SQL, ok = rawText(n); !ok {
				d.wrongType(n, path, "text")
			}
		}},
	)
}

func (v *validator) schedules(c *Config) {
	if list := c.Schedules.Statements; list != nil && len(list) == 0 {
		v.report("schedules.statements", "is empty: name at least one statement, or remove schedules")
	}
	for _, s := range c.Schedules.Statements {
		path := join("schedules.statements", s.Name)
		if !isPlainName(s.Name) || len(s.Name) > 63 {
			v.reportKey(path, "%q can't be a schedule's name: use up to 63 letters, digits and underscores", s.Name)
		}
		v.between(path+".every", s.Every, time.Second, 24*time.Hour)
		v.between(path+".timeout", s.Timeout, 100*time.Millisecond, time.Hour)
		verbs := []string{"INSERT", "UPDATE", "DELETE", "MERGE", "SELECT", "WITH"}
		switch verb := firstWord(s.SQL); {
		case verb == "":
			v.report(path+".sql", "is empty: give the statement")
		case !slices.Contains(verbs, verb):
			v.report(path+".sql", "begins with %s: give one statement that begins with %s; it runs in a transaction of its own", verb, listOf(verbs))
		}
	}
}

// firstWord is what a statement begins with, past comments and brackets, in upper case.
func firstWord(sql string) string {
	for {
		sql = strings.TrimLeft(sql, " \t\r\n\f\v(")
		switch {
		case strings.HasPrefix(sql, "--"):
			_, sql, _ = strings.Cut(sql, "\n")
		case strings.HasPrefix(sql, "/*"):
			_, sql, _ = strings.Cut(sql, "*/")
		default:
			end := strings.IndexFunc(sql, func(r rune) bool { return !unicode.IsLetter(r) })
			switch {
			case end == 0:
				end = 1
			case end < 0:
				end = len(sql)
			}
			return strings.ToUpper(sql[:end])
		}
	}
}
