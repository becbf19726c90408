package torture

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	tokenSecret   = "a secret for the torture test, of 32 octets or more"
	tokenIssuer   = "https://torture.test"
	tokenAudience = "walwire-torture"
)

var roles = []string{"owner", "manager", "staff", "client"}

// user is somebody who connects: what a token says.
type user struct {
	index    int
	id       string
	company  int
	role     string
	branches []int
	staffID  int
	clientID int
}

// makeUsers gives every company an owner, a manager, and several of the others.
func makeUsers(r *rand.Rand) []*user {
	var out []*user
	for company := 1; company <= companies; company++ {
		for _, role := range []string{"owner", "manager", "staff", "staff", "client"} {
			u := &user{index: len(out), company: company, role: role, branches: []int{branchOf(r, company)}}
			if r.IntN(2) == 0 {
				u.branches = append(u.branches, branchOf(r, company))
			}
			u.staffID, u.clientID = staffOf(r, company), clientOf(r, company)
			u.id = fmt.Sprintf("%s %d of %d", role, u.index, company)
			out = append(out, u)
		}
	}
	return out
}

func (u *user) token() (string, error) {
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": tokenIssuer, "aud": tokenAudience, "iat": now.Unix(), "exp": now.Add(2 * time.Hour).Unix(),
		"sub": u.id, "company_id": strconv.Itoa(u.company), "roles": []string{u.role},
		"branch_ids": u.branches, "staff_id": u.staffID, "client_id": u.clientID,
	})
	t.Header["kid"] = "main"
	return t.SignedString([]byte(tokenSecret))
}

// access is what a role may see of a table: the rule in CEL for the
// configuration and in SQL for the check, and the columns that are hidden.
type access struct {
	cel    string
	sql    func(u *user) string
	hidden []string
}

// rule is the rule in SQL for a user who may see all rows of the company, or not.
func (a access) rule(u *user, wide bool) string {
	if wide && a.widened() {
		return "true"
	}
	return a.sql(u)
}

// widened says whether there is more to see for who may see all rows.
func (a access) widened() bool { return a.cel != "true" }

func all(*user) string { return "true" }

func inBranches(u *user) string {
	list := make([]string, len(u.branches))
	for i, b := range u.branches {
		list[i] = strconv.Itoa(b)
	}
	return "branch_id IN (" + strings.Join(list, ", ") + ")"
}

// variants is how many configurations there are; a run of the server has one.
const variants = 2

// accessOf is the rule of a role for a table in a variant of the configuration. The
// variants differ for every role but the owner, so that no place in the log of before is
// good after a change.
func accessOf(t *table, role string, variant int) access {
	a := baseAccess(t, role, variant)
	if variant == 1 && role != "owner" {
		a.hidden = append(a.hidden, map[string]string{"visits": "code", "people": "born", "messages": "sent_at", "stock": "state"}[t.name])
	}
	return a
}

func baseAccess(t *table, role string, variant int) access {
	switch t.name + " " + role {
	case "visits manager":
		return access{cel: "row.branch_id in user.branches", sql: inBranches, hidden: []string{"data"}}
	case "visits staff":
		if variant == 1 {
			return access{cel: "row.staff_id == user.staff_id", hidden: []string{"price"},
				sql: func(u *user) string { return fmt.Sprintf("staff_id = %d", u.staffID) }}
		}
		return access{cel: "row.branch_id in user.branches || row.staff_id == user.staff_id", hidden: []string{"price"},
			sql: func(u *user) string { return fmt.Sprintf("(%s OR staff_id = %d)", inBranches(u), u.staffID) }}
	case "visits client":
		return access{cel: "row.client_id == user.client_id && row.state != 'void'", hidden: []string{"note", "staff_id", "score"},
			sql: func(u *user) string { return fmt.Sprintf("(client_id = %d AND state <> 'void')", u.clientID) }}
	case "people staff":
		return access{cel: "row.active && row.branch_id in user.branches", hidden: []string{"rate", "photo"},
			sql: func(u *user) string { return "(active AND " + inBranches(u) + ")" }}
	case "people client":
		return access{cel: "row.active && row.name.startsWith('a')", hidden: []string{"rate", "photo", "born", "uid"},
			sql: func(*user) string { return "(active AND starts_with(name, 'a'))" }}
	case "messages staff", "messages client":
		a := access{cel: "row.client_id == user.client_id || row.role in user.roles", hidden: []string{"role"},
			sql: func(u *user) string { return fmt.Sprintf("(client_id = %d OR role = '%s')", u.clientID, u.role) }}
		if variant == 1 {
			a.hidden = append(a.hidden, "urgent")
		}
		return a
	case "stock staff":
		return access{cel: "row.branch_id in user.branches && row.qty >= 0", hidden: []string{"level"},
			sql: func(u *user) string { return "(" + inBranches(u) + " AND qty >= 0)" }}
	case "stock client":
		return access{cel: "row.qty > 0", hidden: []string{"memo", "level"}, sql: func(*user) string { return "qty > 0" }}
	}
	return access{cel: "true", sql: all}
}

// visible are the ordinals of the columns that the role sees.
func (a access) visible(t *table) []int {
	var out []int
	for i, c := range t.columns {
		if !slices.Contains(a.hidden, c.name) {
			out = append(out, i)
		}
	}
	return out
}

// configYAML is the server's configuration.
func configYAML(tables []*table, variant int, extra bool, listen, admin string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `version: 1
database_url: ${WALWIRE_DATABASE_URL}
listen: %s
admin: {listen: "%s"}
slot: %s
publication: walwire
on_slot_loss: recreate
retention: {age: 12s}
limits: {snapshot_connections: 6, subscriptions: 50, connections_per_address: 10000, connections_per_user: 1000, connection_attempts_per_second: 10000, connection_attempts_burst: 10000}
auth: {issuer: %q, audience: %q, keys: [{id: main, alg: HS256, secret: "%s"}]}
user:
  claims: {id: sub, company: company_id, roles: roles, branches: branch_ids, staff_id: staff_id, client_id: client_id}
users:
  - {table: members, match: {login: id}, required: true, active: row.active, attributes: {wide: wide}}
tables:
  members: {table: public.members, company: company}
`, listen, admin, serverSlot, tokenIssuer, tokenAudience, tokenSecret)
	for _, t := range tables {
		fmt.Fprintf(&b, "  %s:\n    table: public.%[1]s\n    company: company\n    roles:\n", t.name)
		for _, role := range roles {
			a := accessOf(t, role, variant)
			var columns []string
			for _, i := range a.visible(t) {
				columns = append(columns, t.columns[i].name)
			}
			rows := a.cel
			if a.widened() {
				rows = strconv.Quote("(" + rows + ") || user.wide")
			}
			fmt.Fprintf(&b, "      %s: {rows: %s, columns: [%s]}\n", role, rows, strings.Join(columns, ", "))
		}
		if extra {
			b.WriteString("      auditor: {rows: true, columns: \"*\"}\n")
		}
		b.WriteString(eventsYAML(t, extra))
	}
	return b.String()
}
