package demo

// Principal is somebody with a token in the demo.
type Principal struct {
	Sub       string
	CompanyID string
	Roles     []string
	BranchIDs []string
	StaffID   string // "" for who is not staff with appointments
	ClientID  string // "" for who is no client
}

// Claims are the token's claims, without issuer, audience and times:
// sub, company_id, roles, branch_ids, and staff_id or client_id where it has one.
func (p Principal) Claims() map[string]any {
	claims := map[string]any{
		"sub": p.Sub, "company_id": p.CompanyID, "roles": p.Roles, "branch_ids": p.BranchIDs,
	}
	if p.StaffID != "" {
		claims["staff_id"] = p.StaffID
	}
	if p.ClientID != "" {
		claims["client_id"] = p.ClientID
	}
	return claims
}

// The people's places in the first company.
const (
	ownerStaff        = 0
	receptionistStaff = 1
	demoStaff         = managingStaff // the first who has appointments
	demoClient        = 0
)

// Principals are the demo's people by the name of their token: owner,
// receptionist, staff, client, other_company_owner.
func Principals() map[string]Principal {
	home, other := companies()[0], companies()[1]
	return map[string]Principal{
		"owner":               manager(home, ownerStaff),
		"receptionist":        manager(home, receptionistStaff),
		"other_company_owner": manager(other, ownerStaff),
		"staff": {
			Sub: home.staffUser(demoStaff), CompanyID: home.id(), Roles: []string{"staff"},
			BranchIDs: []string{home.branchOf(demoStaff)}, StaffID: home.staffID(demoStaff),
		},
		"client": {
			Sub: home.clientUser(demoClient), CompanyID: home.id(), Roles: []string{"client"},
			BranchIDs: []string{}, ClientID: home.clientID(demoClient),
		},
	}
}

// manager is a member of the managing staff, at home in all branches.
func manager(c company, n int) Principal {
	p := Principal{Sub: c.staffUser(n), CompanyID: c.id(), Roles: []string{staffRole(n)}}
	for b := range c.branches {
		p.BranchIDs = append(p.BranchIDs, c.branchID(b))
	}
	return p
}
