package mapping

import "testing"

// BenchmarkAccess is what opening a query costs: a rule of three branches, bound
// to a user.
func BenchmarkAccess(b *testing.B) {
	table := accessTable(b, roleOf("row.staff_id == user.staff_id || row.status in user.roles || row.notes == null && row.seats > 3", "status"))
	user := map[string]any{"id": "u", "company": "c", "roles": []string{"staff"}, "staff_id": uuidA}
	b.ReportAllocs()
	for b.Loop() {
		table.Access([]string{"r0"}, user)
	}
}

// BenchmarkAccessComputed is the same with a value that CEL computes.
func BenchmarkAccessComputed(b *testing.B) {
	table := accessTable(b, roleOf("row.status == 'x-' + user.id && user.roles.exists(r, r == 'staff')", "status"))
	user := map[string]any{"id": "u", "company": "c", "roles": []string{"staff"}}
	b.ReportAllocs()
	for b.Loop() {
		table.Access([]string{"r0"}, user)
	}
}
