package bench

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const clientsPerCompany = 50

// Ids are a prefix for the kind of thing, then its number, in hex.
const (
	companyPrefix     = "c0000000-0000-4000-8000-"
	branchPrefix      = "b0000000-0000-4000-8000-"
	staffPrefix       = "50000000-0000-4000-8000-"
	clientPrefix      = "d0000000-0000-4000-8000-"
	appointmentPrefix = "a0000000-0000-4000-8000-"
	idLength          = len(appointmentPrefix) + 12
)

// changedNotes is what every row's notes are set to while the WAL is written.
// No other value of the data set holds a number sign.
const changedNotes = "#2 rescheduled by phone"

// dataset is the content of the reference schema: appointments that belong to
// members of staff, each of whom has a live query of their own.
//
// Appointment n is in block n/perCompany, and block b belongs to company b modulo the
// companies. The rows of a block belong to the company's members of staff, one each.
type dataset struct {
	rows       int
	queries    int
	perCompany int // queries, and so rows of a block
	hours      int // of which a live query shows the rows; 0: of all
}

// hoursOfRows is in how many hours the appointments of a member of staff are, by turns.
const hoursOfRows = 500

func (d dataset) companies() int    { return d.queries / d.perCompany }
func (d dataset) blocks() int       { return d.rows / d.perCompany }
func (d dataset) rowsPerQuery() int { return d.rows / d.queries }

// shows says whether its live query shows a member of staff's appointment.
func (d dataset) shows(ordinal int) bool { return d.hours == 0 || ordinal%hoursOfRows < d.hours }

// shown is how many appointments all live queries show.
func (d dataset) shown() (n int) {
	for ordinal := range d.rowsPerQuery() {
		if d.shows(ordinal) {
			n += d.queries
		}
	}
	return n
}

// query is the live query of a member of staff's appointments.
func (d dataset) query(query int) string {
	hours := ""
	if d.hours > 0 {
		hours = fmt.Sprintf(`,["starts_at","<",%q]`, firstHour.Add(time.Duration(d.hours)*time.Hour).Format(time.RFC3339))
	}
	return fmt.Sprintf(`{"table":"appointments","where":[["staff_id","==",%q]%s]}`, staffOf(query), hours)
}

var firstHour = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

// locate says which query shows an appointment, and which of its rows it is.
func (d dataset) locate(appointment int) (query, ordinal int) {
	block, staff := appointment/d.perCompany, appointment%d.perCompany
	company := block % d.companies()
	return company*d.perCompany + staff, block / d.companies()
}

// appointment is the reverse of locate.
func (d dataset) appointment(query, ordinal int) int {
	company, staff := query/d.perCompany, query%d.perCompany
	return (ordinal*d.companies()+company)*d.perCompany + staff
}

func (d dataset) companyOf(query int) string { return id(companyPrefix, query/d.perCompany) }
func staffOf(query int) string               { return id(staffPrefix, query) }

func id(prefix string, n int) string { return fmt.Sprintf("%s%012x", prefix, n) }

// appointmentNumber reads an appointment's id.
func appointmentNumber(id []byte) (n int, ok bool) {
	if len(id) != idLength || string(id[:len(appointmentPrefix)]) != appointmentPrefix {
		return 0, false
	}
	var digits [6]byte
	if _, err := hex.Decode(digits[:], id[len(appointmentPrefix):]); err != nil {
		return 0, false
	}
	for _, d := range digits {
		n = n<<8 | int(d)
	}
	return n, true
}

// load fills the tables. Foreign keys are not looked up row by row: they hold by
// construction. At its end the tables are vacuumed and on disk, so that none of
// that happens while something is measured.
func (d dataset) load(ctx context.Context, conn *pgx.Conn) error {
	sqlID := func(prefix, n string) string {
		return fmt.Sprintf("('%s' || lpad(to_hex(%s), 12, '0'))::uuid", prefix, n)
	}
	company := fmt.Sprintf("(n / %d %% %d)", d.perCompany, d.companies())
	statements := []string{
		"SET session_replication_role = replica",
		fmt.Sprintf("INSERT INTO companies (id, name) SELECT %s, 'Company ' || n FROM generate_series(0, %d) n",
			sqlID(companyPrefix, "n"), d.companies()-1),
		fmt.Sprintf("INSERT INTO branches (id, company_id, name) SELECT %s, %s, 'Main Street' FROM generate_series(0, %d) n",
			sqlID(branchPrefix, "n"), sqlID(companyPrefix, "n"), d.companies()-1),
		fmt.Sprintf("INSERT INTO staff (id, company_id, branch_id, name) SELECT %s, %s, %s, 'Staff ' || n FROM generate_series(0, %d) n",
			sqlID(staffPrefix, "n"), sqlID(companyPrefix, fmt.Sprintf("n / %d", d.perCompany)),
			sqlID(branchPrefix, fmt.Sprintf("n / %d", d.perCompany)), d.queries-1),
		fmt.Sprintf("INSERT INTO clients (id, company_id, name) SELECT %s, %s, 'Client ' || n FROM generate_series(0, %d) n",
			sqlID(clientPrefix, "n"), sqlID(companyPrefix, fmt.Sprintf("n / %d", clientsPerCompany)), d.companies()*clientsPerCompany-1),
		fmt.Sprintf(`INSERT INTO appointments (id, company_id, branch_id, client_id, staff_id, service_type, status, starts_at, ends_at, notes, internal_notes, price)
			SELECT %s, %s, %s, %s, %s, 'haircut', 'confirmed', t, t + interval '45 min', 'first visit', 'prefers the chair by the window', 38.00
			FROM (SELECT n, '%s'::timestamptz + n / %d %% %d * interval '1 hour' AS t FROM generate_series(0, %d) n) s`,
			sqlID(appointmentPrefix, "n"), sqlID(companyPrefix, company), sqlID(branchPrefix, company),
			sqlID(clientPrefix, fmt.Sprintf("%s * %d + n %% %[2]d", company, clientsPerCompany)),
			sqlID(staffPrefix, fmt.Sprintf("%s * %d + n %% %[2]d", company, d.perCompany)), firstHour.Format(time.RFC3339), d.queries, hoursOfRows, d.rows-1),
		"RESET session_replication_role",
		"VACUUM (ANALYZE)",
		"CHECKPOINT",
	}
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("load the data: %w", err)
		}
	}
	return nil
}
