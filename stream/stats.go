package stream

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/walwire/walwire/auth"
)

// Stats are what a company's admins, or operators, see of the connections.
type Stats struct {
	Running           bool           `json:"running"` // follows the WAL
	Position          string         `json:"position"`
	BehindBytes       int64          `json:"behindBytes"` // written in PostgreSQL and not read yet, when last looked at
	BehindSeconds     float64        `json:"behindSeconds"`
	Companies         int            `json:"companyCount,omitempty"`
	ConnectionCount   int            `json:"connectionCount"`
	SubscriptionCount int            `json:"subscriptionCount"`
	ByRole            map[string]int `json:"byRole"` // by the first of several
	ByBranch          map[string]int `json:"byBranch"`
	ByTransport       map[string]int `json:"byTransport"`
}

// Viewers say who sees statistics, and how they are counted.
type Viewers struct {
	Operators []string // roles that may name any company, and see statistics of all
	Roles     []string // that see the statistics of their company
	Branch    string   // the user's attribute that connections are counted by
}

// SetViewers replaces those of the options. Safe for concurrent use.
func (s *Server) SetViewers(v Viewers) { s.viewers.Store(&v) }

// stats counts the connections of a company, "" for all.
func (s *Server) stats(company string) Stats {
	st := Stats{
		Position: s.hub.Position().String(),
		ByRole:   make(map[string]int), ByBranch: make(map[string]int), ByTransport: make(map[string]int),
	}
	st.Running = s.options.Ready == nil || s.options.Ready() == nil
	if s.options.Behind != nil {
		octets, late := s.options.Behind()
		st.BehindBytes, st.BehindSeconds = octets, late.Seconds()
	}
	companies, viewers := make(map[string]struct{}), s.viewers.Load()
	for _, ss := range s.connected(company, "") {
		p := ss.principal.Load()
		st.ConnectionCount++
		st.SubscriptionCount += ss.open()
		st.ByTransport[ss.via]++
		if len(p.Roles) > 0 {
			st.ByRole[p.Roles[0]]++
		}
		for _, branch := range valuesOf(p.Attributes[viewers.Branch]) {
			st.ByBranch[branch]++
		}
		companies[ss.company.id] = struct{}{}
	}
	if company == "" {
		st.Companies = len(companies)
	}
	return st
}

// connected gives the sessions of a company and user, "" for any.
func (s *Server) connected(company, user string) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*session
	for ss := range s.sessions {
		if (company == "" || ss.company.id == company) && (user == "" || ss.principal.Load().ID == user) {
			found = append(found, ss)
		}
	}
	return found
}

// open counts the subscriptions.
func (s *session) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queries) + len(s.listening)
}

// valuesOf gives an attribute's values: it is one, or a list.
func valuesOf(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var all []string
		for _, item := range v {
			all = append(all, valuesOf(item)...)
		}
		return all
	}
	return []string{fmt.Sprint(v)}
}

// statsHTTP is GET /v1/stats: of their company for who has one of StatsRoles, of all
// companies for an operator, which the token alone makes, who names none.
func (s *Server) statsHTTP(w http.ResponseWriter, r *http.Request) {
	ss, ok := s.admitOnce(w, r)
	if !ok {
		return
	}
	defer ss.leave()
	p, claims := ss.principal.Load(), ss.claims()
	switch {
	case s.isOperator(&claims) && !r.URL.Query().Has("company"):
		writeJSON(w, http.StatusOK, s.stats(""))
	case p.Operator || slices.ContainsFunc(p.Roles, func(role string) bool { return slices.Contains(s.viewers.Load().Roles, role) }):
		writeJSON(w, http.StatusOK, s.stats(ss.company.id))
	default:
		writeError(w, errorf(CodePermissionDenied, "statistics are not open to this token's roles (stats.roles)"))
	}
}

func (s *Server) isOperator(p *auth.Principal) bool {
	return slices.ContainsFunc(p.Roles, func(role string) bool { return slices.Contains(s.viewers.Load().Operators, role) })
}

// Admin is what operators ask on a listener of their own, under /admin/v1/.
func (s *Server) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/v1/stats", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.stats(r.URL.Query().Get("company")))
	})
	mux.HandleFunc("GET /admin/v1/connections", s.connectionsHTTP)
	mux.HandleFunc("POST /admin/v1/disconnect", s.disconnectHTTP)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeError(w, errorf(CodeNotFound, "nothing at %s %s: see docs/operations.md", r.Method, r.URL.Path))
	})
	return mux
}

// connection is a connection as an operator sees it.
type connection struct {
	Session       string    `json:"session"`
	Company       string    `json:"company"`
	User          string    `json:"user"`
	Roles         []string  `json:"roles"`
	Transport     string    `json:"transport"`
	Address       string    `json:"address"`
	Since         time.Time `json:"since"`
	Expires       time.Time `json:"expires"`
	Subscriptions int       `json:"subscriptions"`
}

// maxListed bounds a list of connections.
const maxListed = 1000

func (s *Server) connectionsHTTP(w http.ResponseWriter, r *http.Request) {
	found := s.connected(r.URL.Query().Get("company"), r.URL.Query().Get("user"))
	list := make([]connection, 0, min(len(found), maxListed))
	for _, ss := range found[:min(len(found), maxListed)] {
		p := ss.principal.Load()
		list = append(list, connection{
			Session: ss.id, Company: p.Company, User: p.ID, Roles: p.Roles, Transport: ss.via, Address: ss.address,
			Since: ss.since, Expires: p.Expires, Subscriptions: ss.open(),
		})
	}
	writeJSON(w, http.StatusOK, map[string]any{"count": len(found), "connections": list})
}

// disconnectHTTP ends the connections of a user, of a company, or of a user there. Who
// has a good token can come back: their row is what keeps somebody out.
func (s *Server) disconnectHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Company string `json:"company"`
		User    string `json:"user"`
		Reason  string `json:"reason"`
	}
	if err := s.readBody(w, r, &body); err != nil {
		writeError(w, err)
		return
	}
	if body.Company == "" && body.User == "" {
		writeError(w, errorf(CodeInvalidArgument, `name a company, a user, or both, as in {"user": "..."}`))
		return
	}
	if body.Reason == "" {
		body.Reason = "disconnected by an operator"
	}
	found := s.connected(body.Company, body.User)
	for _, ss := range found {
		ss.say(errorFrame(0, errorf(CodeUnavailable, "%s", body.Reason)))
		ss.close(CloseDisconnected, truncateReason(body.Reason))
	}
	s.options.Log.Info("disconnected by an operator", "user", body.User, "company", body.Company, "connections", len(found), "reason", body.Reason)
	writeJSON(w, http.StatusOK, map[string]int{"disconnected": len(found)})
}
