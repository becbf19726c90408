package mapping

import "github.com/goccy/go-yaml/ast"

// What Config.OnSlotLoss can say.
const (
	SlotLossStop     = "stop"
	SlotLossRecreate = "recreate"
)

// Config is what the configuration file says, with the defaults filled in and
// nothing yet held against a database. Immutable once loaded.
type Config struct {
	// File is the name errors carry.
	File string
	// DatabaseURL is where rows are read, as the role with few rights. It may be
	// empty, for a program that has it from elsewhere.
	DatabaseURL Secret
	// DatabasePasswordFile holds the password to DatabaseURL, in place of one that it
	// carries. It is read at each connect, so that the password can change. "" is none.
	DatabasePasswordFile string
	// AdminDatabaseURL is used for the publication and replica identities when
	// Manage is set, and for nothing else.
	AdminDatabaseURL Secret
	Manage           bool
	// Listen is the address served, host:port.
	Listen string
	// BasePath is what all paths of that address begin with, as in /realtime; "" is
	// nothing.
	BasePath string
	// TrustedProxies are the networks whose X-Forwarded-For counts, in CIDR notation.
	TrustedProxies []string
	TLS            TLS
	Admin          Admin
	Drain          Drain
	Slot           string
	Publication    string
	// OnSlotLoss is what to do when the slot can't give what follows: "stop" or
	// "recreate".
	OnSlotLoss string
	// SlotFailover makes the slot one that standbys keep in step (PostgreSQL 17).
	SlotFailover bool
	// Origins are the web origins that may connect, as in https://app.example.com;
	// "*" is any, https://*.example.com any one label more, "null" pages without one.
	// None means only the server's own.
	Origins []string
	// CursorKey is what clients' cursors are encrypted with. Servers that share it take
	// each other's. None: it is made from the tokens' secrets.
	CursorKey Secret
	Retention Retention
	Limits    Limits
	Auth      Auth
	User      User
	Stats     Stats
	Rooms     []RoomConfig
	Schedules Schedules
	// Tables are in the file's order.
	Tables []TableConfig

	positions positions
}

// Table gives the table mapped under the public name.
func (c *Config) Table(name string) (*TableConfig, bool) {
	for i := range c.Tables {
		if c.Tables[i].Name == name {
			return &c.Tables[i], true
		}
	}
	return nil, false
}

func (d *decoder) config(n ast.Node, c *Config) {
	version := func(n ast.Node, path string) {
		if v, ok := n.(*ast.IntegerNode); !ok || v.GetToken().Value != "1" {
			d.add(positionOf(n), path, "this program reads version 1 of the configuration: write `version: 1`")
		}
	}
	d.object(n, "",
		field{"version", "write `version: 1` at the top", version},
		field{"database_url", "", d.secretField(&c.DatabaseURL)},
		field{"database_password_file", "", d.pathField(&c.DatabasePasswordFile)},
		field{"admin_database_url", "", d.secretField(&c.AdminDatabaseURL)},
		field{"manage", "", d.boolField(&c.Manage)},
		field{"listen", "", d.textField(&c.Listen)},
		field{"base_path", "", d.textField(&c.BasePath)},
		field{"trusted_proxies", "", d.listField(&c.TrustedProxies)},
		field{"tls", "", func(n ast.Node, path string) { d.tls(n, path, &c.TLS) }},
		field{"admin", "", func(n ast.Node, path string) { d.admin(n, path, &c.Admin) }},
		field{"drain", "", func(n ast.Node, path string) { d.drain(n, path, &c.Drain) }},
		field{"slot", "", d.textField(&c.Slot)},
		field{"on_slot_loss", "", d.textField(&c.OnSlotLoss)},
		field{"slot_failover", "", d.boolField(&c.SlotFailover)},
		field{"publication", "", d.textField(&c.Publication)},
		field{"origins", "", d.listField(&c.Origins)},
		field{"cursor_key", "", d.secretField(&c.CursorKey)},
		field{"retention", "", func(n ast.Node, path string) { d.retention(n, path, &c.Retention) }},
		field{"limits", "", func(n ast.Node, path string) { d.limits(n, path, &c.Limits) }},
		field{"auth", "say which tokens to accept: issuer, audience and keys", func(n ast.Node, path string) { d.auth(n, path, &c.Auth) }},
		field{"user", "say which claims hold the user's id, company and roles", func(n ast.Node, path string) { d.user(n, path, &c.User) }},
		field{"users", "", func(n ast.Node, path string) { d.users(n, path, &c.User.Rows) }},
		field{"stats", "", func(n ast.Node, path string) { d.stats(n, path, &c.Stats) }},
		field{"rooms", "", func(n ast.Node, path string) { d.rooms(n, path, &c.Rooms) }},
		field{"schedules", "", func(n ast.Node, path string) { d.schedules(n, path, &c.Schedules) }},
		field{"tables", "map at least one table", func(n ast.Node, path string) { d.tables(n, path, &c.Tables) }},
	)
}

// Stats says who sees the statistics of their company's connections.
type Stats struct {
	Roles []string
	// Branch is the user's attribute that connections are counted by.
	Branch string
}

func (d *decoder) stats(n ast.Node, path string, s *Stats) {
	d.object(n, path,
		field{"roles", "list the roles that see their company's statistics", d.listField(&s.Roles)},
		field{"branch", "", d.textField(&s.Branch)},
	)
}

func defaults(name string) *Config {
	return &Config{
		File:        name,
		Listen:      "127.0.0.1:8080",
		Slot:        "walwire",
		Publication: "walwire",
		OnSlotLoss:  SlotLossStop,
		Admin:       Admin{Listen: "127.0.0.1:8081"},
		Drain:       DefaultDrain(),
		Retention:   DefaultRetention(),
		Limits:      DefaultLimits(),
		positions:   newPositions(),
	}
}

// LocatedAs makes errors about c name the places of another's file.
func (c *Config) LocatedAs(other *Config) { c.File, c.positions = other.File, other.positions }
