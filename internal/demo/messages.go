package demo

// message is a notification of the seed. A nil branch, user and role: for all
// of the company.
type message struct {
	branch, user, role *string
	kind, severity     string
	title, body        string
}

// messages are a company's notifications, newest first.
func messages(c company) []message {
	all := []message{
		{kind: "broadcast", severity: "info", title: "Opening hours", body: "We close at 16:00 on Friday."},
		{kind: "system", severity: "info", title: "New release", body: "The calendar now shows breaks."},
		{kind: "security", severity: "critical", title: "New sign-in", body: "A new device signed in.", role: new("owner")},
		{kind: "payment", severity: "warning", title: "Payment overdue", body: "Invoice 1042 is overdue.", role: new("owner")},
		{kind: "payment", severity: "info", title: "Payment received", body: "Invoice 1043 was paid.", role: new("receptionist")},
		{kind: "push", severity: "info", title: "Walk-in", body: "A client is waiting at the desk.", role: new("receptionist")},
		{kind: "inventory", severity: "warning", title: "Low stock", body: "Towels are running low.", role: new("staff")},
	}
	for n := range c.branches {
		all = append(all, message{
			kind: "inventory", severity: "info", title: "Delivery", body: "A delivery arrives today.", branch: new(c.branchID(n)),
		})
	}
	for n := range staffCount {
		all = append(all, message{
			kind: "reminder", severity: "info", title: "Your shift", body: "Your shift starts at 08:00.", user: new(c.staffUser(n)),
		})
	}
	for n := range 4 {
		all = append(all, message{
			kind: "reminder", severity: "info", title: "Your appointment", body: "See you soon!", user: new(c.clientUser(n)),
		})
	}
	return all
}
