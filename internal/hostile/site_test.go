package hostile_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/internal/wire"
	"github.com/walwire/walwire/mapping"
)

const (
	companyA = "00000000-0000-0000-0000-0000000000a1" // whose users are hostile
	companyB = "00000000-0000-0000-0000-0000000000b1" // whose rows they are after
	companyH = "00000000-0000-0000-0000-0000000000e1" // of the honest
	ann      = "00000000-0000-0000-0000-0000000000a2"
	abe      = "00000000-0000-0000-0000-0000000000a3"
	bob      = "00000000-0000-0000-0000-0000000000b2"
	cat      = "00000000-0000-0000-0000-0000000000a4"
	dan      = "00000000-0000-0000-0000-0000000000b4"
	branchA  = "00000000-0000-0000-0000-0000000000a9"
)

// seed has four appointments in A, of which Ann has two, and three in B.
const seed = `
INSERT INTO companies (id, name) VALUES ('` + companyA + `','A'), ('` + companyB + `','` + markB + `'), ('` + companyH + `','H');
INSERT INTO branches (id, company_id, name) VALUES ('` + branchA + `','` + companyA + `','North');
INSERT INTO staff (id, company_id, user_id, name, role) VALUES
 ('` + ann + `','` + companyA + `','ann','Ann','staff'),
 ('` + abe + `','` + companyA + `','abe','Abe','staff'),
 ('` + bob + `','` + companyB + `','bob','` + markB + `','staff');
INSERT INTO clients (id, company_id, user_id, name, email, phone, preferences, tags) VALUES
 ('` + cat + `','` + companyA + `','cat','Cat','` + markMasked + `@a.test','+1 ` + markMasked + `','{"a": "` + markMasked + `"}','{vip}'),
 ('` + dan + `','` + companyB + `','dan','` + markB + `','` + markB + `@b.test',NULL,'{}','{` + markB + `}');
INSERT INTO appointments (id, company_id, staff_id, client_id, status, starts_at, ends_at, notes, internal_notes, price)
 SELECT ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, '` + companyA + `',
   CASE WHEN n <= 2 THEN '` + ann + `'::uuid WHEN n = 3 THEN '` + abe + `' END, '` + cat + `', 'confirmed',
   timestamptz '2026-03-01 09:00Z' + n * interval '1 hour', timestamptz '2026-03-01 10:00Z' + n * interval '1 hour',
   'note ' || n, '` + markMasked + ` ' || n, 100 + n
 FROM generate_series(1, 4) n;
INSERT INTO appointments (id, company_id, staff_id, client_id, status, starts_at, ends_at, notes, internal_notes, price)
 SELECT ('00000000-0000-0000-0001-' || lpad(n::text, 12, '0'))::uuid, '` + companyB + `', '` + bob + `', '` + dan + `', 'confirmed',
   '2026-03-01 09:00Z', '2026-03-01 10:00Z', '` + markB + `', '` + markB + `', 7
 FROM generate_series(101, 103) n;
`

// seedLarge has a company with so many rows that no buffer on the way to a client holds
// them.
const (
	companyL  = "00000000-0000-0000-0000-0000000000d1"
	largeRows = 300
	seedLarge = `
INSERT INTO companies (id, name) VALUES ('` + companyL + `','L');
INSERT INTO clients (company_id, name) SELECT '` + companyL + `', repeat('large ', 5000) FROM generate_series(1, 300)`
)

// appointment gives the id of an appointment: 1 to 4 are A's, 101 to 103 B's.
func appointment(n int) string { return fmt.Sprintf("00000000-0000-0000-0001-%012d", n) }

// place is a server with honest clients on it.
type place struct {
	*apptest.Server
	name   string
	writer *writer
	honest []*honest

	mu sync.Mutex // the connection to the database is for one at a time
}

// exec runs SQL for the case.
func (p *place) exec(a *attempt, sql string, args ...any) {
	a.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.DB.Exec(a.Context(), sql, args...); err != nil {
		a.Fatalf("%s: %v", sql, err)
	}
}

// scan runs a query of one row for the case.
func (p *place) scan(a *attempt, to any, sql string, args ...any) {
	a.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.DB.QueryRow(a.Context(), sql, args...).Scan(to); err != nil {
		a.Fatalf("%s: %v", sql, err)
	}
}

// lsn is the position that the database has reached.
func (p *place) lsn(a *attempt) (lsn string) {
	a.Helper()
	p.scan(a, &lsn, "SELECT pg_current_wal_insert_lsn()")
	return lsn
}

// site is where cases run: at wide no limit is near, at tight all are. Clients of
// tight come through a proxy that is trusted, so that each case can have addresses of its
// own; wide trusts none.
type site struct {
	wide, tight *place
	keys        *keys
	phase       *atomic.Int32
	attempts    atomic.Int32 // so far
}

// The limits of tight.
const (
	attemptsPerSecond = 1 // fewer than the slowest client makes
	attemptsBurst     = 40
	perAddress        = 12
	perUser           = 3
	perCompany        = 6
	framesPerSecond   = 100
	framesBurst       = 50
	tickets           = 3
	adminToken        = "an admin token for tests, of 32 octets or more"
	allowedOrigin     = "https://app.example.com"
)

func startSite(t *testing.T) *site {
	s := &site{phase: new(atomic.Int32), keys: makeKeys(t)}
	s.wide = s.start(t, "wide", apptest.Options{Edit: func(c *mapping.Config) {
		c.Auth.Keys = append(c.Auth.Keys, s.keys.configured(t)...)
		c.Auth.ClockSkew = 0
		c.Origins = []string{allowedOrigin, "https://*.example.org"}
		c.User.Operators = []string{"support"}
		c.Limits.Rows = 1_000_000
		c.Limits.ConnectionAttemptsPerSecond, c.Limits.ConnectionAttemptsBurst = 100_000, 100_000
	}}, wire.WebSocket, wire.SSE, wire.Poll)
	s.tight = s.start(t, "tight", apptest.Options{
		// Short enough to wait for, and long for clients that yield to everything else.
		Tuning: app.Tuning{PingInterval: 2 * time.Second, WriteTimeout: 8 * time.Second, RequestTimeout: 4 * time.Second},
		Edit: func(c *mapping.Config) {
			c.TrustedProxies = []string{"127.0.0.1", "10.0.0.0/8"}
			c.Admin.Token = mapping.NewSecret(adminToken)
			l := &c.Limits
			l.Rows = 1_000_000
			l.AuthDeadline = 6 * time.Second
			l.WaitTimeout, l.SnapshotTimeout = waitMS*time.Millisecond, 10*time.Second
			l.ConnectionAttemptsPerSecond, l.ConnectionAttemptsBurst = attemptsPerSecond, attemptsBurst
			l.ConnectionsPerAddress, l.ConnectionsPerUser, l.ConnectionsPerCompany = perAddress, perUser, perCompany
			l.FramesPerSecond, l.FramesBurst = framesPerSecond, framesBurst
			l.TicketsPerUser = tickets
		},
	}, wire.WebSocket, wire.SSE)
	return s
}

// start runs a server with its writer and an honest client for each of the ways.
func (s *site) start(t *testing.T, name string, o apptest.Options, ways ...string) *place {
	p := &place{Server: apptest.Start(t, o), name: name}
	p.Exec(seed + seedLarge)
	p.writer = prepareWriter(t, p.AdminURL, s.phase)
	for _, way := range ways {
		p.honest = append(p.honest, startHonest(t, p, way))
	}
	p.writer.start(t)
	return p
}

// finish stops the writers, lets the honest clients come to the end, and judges.
func (s *site) finish(t *testing.T) {
	for _, p := range []*place{s.wide, s.tight} {
		last := p.writer.stop(t)
		for _, h := range p.honest {
			h.judge(t, last)
		}
		report(t, p)
	}
}

func (s *site) measure(phase int32) { s.phase.Store(phase) }

// token signs claims, with a company A and an hour to live where they say nothing else.
func (p *place) token(user string, role string, more ...apptest.Claims) string {
	p.TB.Helper()
	claims := apptest.Claims{"sub": user, "company_id": companyA, "roles": []string{role}}
	for _, m := range more {
		for name, value := range m {
			claims[name] = value
		}
	}
	return p.Token(claims)
}

// owner sees all of company A, ann what staff may of hers.
func (p *place) owner() string { return p.token("owner", "owner") }
func (p *place) ann() string   { return p.token("ann", "staff") }
