package bench

import "testing"

func TestDatasetLocate(t *testing.T) {
	d := dataset{rows: 6_000, queries: 300, perCompany: 100}
	seen := make(map[[2]int]bool)
	for n := range d.rows {
		query, ordinal := d.locate(n)
		if query < 0 || query >= d.queries || ordinal < 0 || ordinal >= d.rowsPerQuery() {
			t.Fatalf("appointment %d is row %d of query %d", n, ordinal, query)
		}
		if seen[[2]int{query, ordinal}] {
			t.Fatalf("appointment %d has the place of another", n)
		}
		if back := d.appointment(query, ordinal); back != n {
			t.Fatalf("appointment %d is found as %d", n, back)
		}
		seen[[2]int{query, ordinal}] = true
	}
}

func TestAppointmentNumber(t *testing.T) {
	for _, n := range []int{0, 1, 999_999, 1 << 40} {
		if got, ok := appointmentNumber([]byte(id(appointmentPrefix, n))); !ok || got != n {
			t.Errorf("the number of %s is %d, %t", id(appointmentPrefix, n), got, ok)
		}
	}
	for _, text := range []string{"", "a0000000", id(staffPrefix, 1), appointmentPrefix + "00000000000x"} {
		if n, ok := appointmentNumber([]byte(text)); ok {
			t.Errorf("%q is taken for appointment %d", text, n)
		}
	}
}
