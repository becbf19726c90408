package demo

import "fmt"

// company describes one of the two companies. Its people and branches follow
// from it, always the same ones.
type company struct {
	slug     string // part of every id and user id
	name     string
	branches []string
	services []service
}

// service is what can be booked.
type service struct {
	name    string
	minutes int
	price   string // numeric, as text
}

// How many of each a company has.
const (
	staffCount    = 8
	clientCount   = 40
	managingStaff = 2 // the first of the staff: an owner, a receptionist
)

func companies() []company {
	return []company{
		{
			slug: "nord", name: "Studio Nord", branches: []string{"Harbour", "Old Town"},
			services: []service{
				{"haircut", 45, "38.00"}, {"colour", 120, "95.50"}, {"beard trim", 30, "19.00"}, {"styling", 60, "49.90"},
			},
		},
		{
			slug: "sued", name: "Clinic Sued", branches: []string{"Main Street", "Lakeside"},
			services: []service{
				{"consultation", 30, "60.00"}, {"physiotherapy", 45, "72.50"}, {"check-up", 60, "110.00"}, {"x-ray", 15, "45.00"},
			},
		},
	}
}

func (c company) id() string              { return id(c.slug, "company", 0) }
func (c company) branchID(n int) string   { return id(c.slug, "branch", n) }
func (c company) staffID(n int) string    { return id(c.slug, "staff", n) }
func (c company) clientID(n int) string   { return id(c.slug, "client", n) }
func (c company) staffUser(n int) string  { return fmt.Sprintf("%s-staff-%d", c.slug, n) }
func (c company) clientUser(n int) string { return fmt.Sprintf("%s-client-%d", c.slug, n) }

// branchOf spreads the staff over the branches.
func (c company) branchOf(staff int) string { return c.branchID(staff % len(c.branches)) }

// staffRole is the role of the n-th of the staff.
func staffRole(n int) string {
	switch n {
	case 0:
		return "owner"
	case 1:
		return "receptionist"
	}
	return "staff"
}

// personName is a name that differs for each n below 64.
func personName(n int) string {
	first := []string{"Ada", "Bruno", "Carla", "Dilan", "Emre", "Frida", "Goran", "Hanna"}
	last := []string{"Ahlers", "Björk", "Costa", "Demir", "Eriksen", "Fischer", "García", "Horvat"}
	return first[n%len(first)] + " " + last[(n/len(first)+n)%len(last)]
}
