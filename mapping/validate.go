package mapping

import (
	"cmp"
	"net"
	"regexp"
	"time"

	"github.com/walwire/walwire/internal/edge"
)

// Validate checks what can be checked without a database. Load has done it; it
// is for a Config made or changed by a program. The findings are an Errors.
func (c *Config) Validate() error {
	v := &validator{problems: problems{file: c.File}, positions: c.positions}
	if c.Manage && c.AdminDatabaseURL.IsZero() {
		v.report("manage", "needs admin_database_url: the publication and replica identities are the table owner's to change")
	}
	if _, port, err := net.SplitHostPort(c.Listen); err != nil || port == "" {
		v.report("listen", "%q is not an address: give host:port, as in 127.0.0.1:8080", c.Listen)
	}
	if !regexp.MustCompile(`^[a-z0-9_]{1,63}$`).MatchString(c.Slot) {
		v.report("slot", "%q can't name a replication slot: use up to 63 lower-case letters, digits and underscores", c.Slot)
	}
	if c.OnSlotLoss != SlotLossStop && c.OnSlotLoss != SlotLossRecreate {
		v.report("on_slot_loss", "%q is not known: give stop or recreate", c.OnSlotLoss)
	}
	if c.Publication == "" || len(c.Publication) > 63 {
		v.report("publication", "%q can't name a publication: use 1 to 63 octets", c.Publication)
	}
	for i, origin := range c.Origins {
		if _, err := edge.ParseOrigins([]string{origin}); err != nil {
			v.report(index("origins", i), "%v", err)
		}
	}
	for i, network := range c.TrustedProxies {
		if _, err := edge.ParseProxies([]string{network}); err != nil {
			v.report(index("trusted_proxies", i), "%v", err)
		}
	}
	if err := edge.CheckBasePath(c.BasePath); err != nil {
		v.report("base_path", "%q %v", c.BasePath, err)
	}
	v.tls(c.TLS)
	v.admin(c.Admin, c.Listen)
	v.drain(c.Drain)
	v.cursorKey(c.CursorKey)
	v.retention(c.Retention)
	v.limits(c.Limits)
	v.auth(c.Auth)
	v.user(c)
	v.rooms(c)
	v.schedules(c)
	v.tables(c)
	return v.err()
}

// validator collects findings by the settings' paths.
type validator struct {
	problems
	positions positions
}

// report adds a finding about a setting's value.
func (v *validator) report(path, format string, args ...any) {
	v.add(v.positions.value(path), path, format, args...)
}

// reportKey adds a finding about a setting's key.
func (v *validator) reportKey(path, format string, args ...any) {
	v.add(v.positions.key(path), path, format, args...)
}

func (v *validator) between(path string, d, least, most time.Duration) {
	inRange(v, path, d, least, most)
}

func inRange[T cmp.Ordered](v *validator, path string, value, least, most T) {
	if value < least || value > most {
		v.report(path, "%v is out of range: give %v to %v", value, least, most)
	}
}
