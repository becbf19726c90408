package mapping

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

const testSecret = "0123456789abcdef0123456789abcdef"

// valid is a configuration that loads; tests replace parts of it.
const valid = `version: 1
database_url: postgres://walwire@127.0.0.1/app
auth:
  issuer: https://auth.example.com
  audience: walwire
  keys:
    - {id: main, alg: HS256, secret: "` + testSecret + `"}
user:
  claims:
    id: sub
    company: company_id
    roles: roles
    staff_id: staff_id
tables:
  visits:
    table: public.visits
    company: company_id
    roles:
      staff:
        rows: row.staff_id == user.staff_id
        columns: [id, status]
`

// testKeys are the keys of valid.
const testKeys = "  keys:\n    - {id: main, alg: HS256, secret: \"" + testSecret + "\"}\n"

func testEnv(vars map[string]string) Env {
	return func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
}

func mustParse(tb testing.TB, text string) *Config {
	tb.Helper()
	cfg, err := Parse("walwire.yaml", []byte(text), nil)
	if err != nil {
		tb.Fatalf("parse:\n%v", err)
	}
	if err := compiledSchema(tb).Validate(yamlValue(tb, text)); err != nil {
		tb.Fatalf("the JSON Schema refuses what loads:\n%v", err)
	}
	return cfg
}

func replaced(tb testing.TB, text, old, new string) string {
	tb.Helper()
	if strings.Count(text, old) != 1 {
		tb.Fatalf("%q stands %d times in the configuration", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, new, 1)
}

func TestParseOK(t *testing.T) {
	text := replaced(t, valid, "version: 1\n", `version: 1
manage: ${MANAGE}
admin_database_url: "${ADMIN}"
listen: 0.0.0.0:${PORT:-9090}
slot: live
on_slot_loss: recreate
slot_failover: true
publication: live_pub
origins: [https://app.example.com, "http://localhost:5173"]
base_path: /live
trusted_proxies: [10.0.0.0/8, unix]
tls: {cert_file: tls.crt, key_file: /etc/tls.key}
admin: {listen: 0.0.0.0:8081, token: "`+testSecret+`"}
drain: {time: 30s, spread: 10s}
database_password_file: password
limits:
  connections_per_address: 7
  connection_attempts_per_second: 8
  connection_attempts_burst: 9
  connections_per_user: 10
  connections_per_company: 11
  frames_per_second: 12
  frames_burst: 13
  memory: 32MiB
  tickets_per_user: 14
  auth_deadline: 2s
  frame_bytes: 1MiB
  token_bytes: 4096
  rows: ${ROWS}
`)
	env := testEnv(map[string]string{"MANAGE": "true", "ADMIN": "postgres://owner@h/app", "ROWS": "500"})
	cfg, err := Parse("etc/walwire.yaml", []byte(text), env)
	if err != nil {
		t.Fatal(err)
	}
	want := DefaultLimits()
	want.ConnectionsPerAddress, want.ConnectionAttemptsPerSecond, want.ConnectionAttemptsBurst = 7, 8, 9
	want.ConnectionsPerUser, want.ConnectionsPerCompany, want.FramesPerSecond, want.FramesBurst = 10, 11, 12, 13
	want.Memory, want.TicketsPerUser = 32*MiB, 14
	want.AuthDeadline, want.FrameBytes, want.TokenBytes, want.Rows = 2*time.Second, MiB, 4096, 500
	if cfg.Limits != want {
		t.Errorf("limits: %+v", cfg.Limits)
	}
	if !cfg.Manage || cfg.AdminDatabaseURL.Reveal() != "postgres://owner@h/app" || cfg.Listen != "0.0.0.0:9090" ||
		cfg.Slot != "live" || cfg.OnSlotLoss != SlotLossRecreate || !cfg.SlotFailover || cfg.Publication != "live_pub" || len(cfg.Origins) != 2 {
		t.Errorf("config: %+v", cfg)
	}
	if cfg.BasePath != "/live" || len(cfg.TrustedProxies) != 2 || cfg.TLS != (TLS{"etc/tls.crt", "/etc/tls.key"}) || cfg.DatabasePasswordFile != "etc/password" ||
		cfg.Admin.Listen != "0.0.0.0:8081" || cfg.Admin.Token.Reveal() != testSecret || cfg.Drain != (Drain{30 * time.Second, 10 * time.Second}) {
		t.Errorf("config: %+v", cfg)
	}
	if k := cfg.Auth.Keys[0]; k.ID != "main" || k.Algorithm != "HS256" || k.Secret.Reveal() != testSecret {
		t.Errorf("key: %+v", k)
	}
	table, ok := cfg.Table("visits")
	if !ok || table.Relation != (Relation{"public", "visits"}) || table.Company != "company_id" || table.Roles[0].Name != "staff" {
		t.Errorf("table: %+v", table)
	}
}

func TestParseAdminOff(t *testing.T) {
	for listen, enabled := range map[string]bool{"off": false, "''": false, "'[::1]:8081'": true, "localhost:8081": true, "127.9.9.9:0": true} {
		cfg, err := Parse("walwire.yaml", []byte(replaced(t, valid, "version: 1\n", "version: 1\nadmin: {listen: "+listen+"}\n")), nil)
		if err != nil || cfg.Admin.Enabled() != enabled {
			t.Errorf("%s: %v", listen, err)
		}
	}
	if cfg := mustParse(t, replaced(t, valid, "version: 1\n", "version: 1\ndrain: {time: 1s}\n")); cfg.Drain != (Drain{time.Second, time.Second}) {
		t.Errorf("drain: %+v", cfg.Drain)
	}
	if cfg := mustParse(t, valid); cfg.Admin.Listen != "127.0.0.1:8081" || cfg.TLS.Enabled() || cfg.Drain != DefaultDrain() || cfg.Limits != DefaultLimits() {
		t.Errorf("defaults: %+v", cfg)
	}
}

// schedule is a section with one statement, and the line that follows in valid.
func schedule(url, statement string) string {
	return "schedules:\n" + url + "  statements:\n    tidy:\n      " + statement + "\ntables:\n"
}

func TestParseErrors(t *testing.T) {
	const url = "  database_url: postgres://jobs@h/app\n"
	tests := []struct{ name, old, new, want string }{
		{"Version", "version: 1", "version: 2", "1:10: version: this program reads version 1 of the configuration: write `version: 1`"},
		{"UnknownKey", "database_url:", "databse_url:", `2:1: unknown key "databse_url"; did you mean "database_url"?`},
		{"UnknownKeyFar", "  issuer:", "  zebra: 1\n  issuer:", `4:3: auth: unknown key "zebra"; possible here: issuer, audience, clock_skew, keys, jwks`},
		{"UnknownRoleKey", "        columns: [id, status]", "        colums: [id]\n        columns: [id]", `21:9: tables.visits.roles.staff: unknown key "colums"; did you mean "columns"?`},
		{"Duplicate", "    id: sub\n", "    id: sub\n    id: uid\n", `11:5: user.claims: "id" is here twice, first in line 10: keep one`},
		{"Missing", "    company: company_id\n    roles:\n      staff:", "    roles:\n      staff:",
			"15:3: tables.visits: company is missing: name the company column; " + companyHint},
		{"MissingTop", "version: 1\n", "", "1:1: version is missing: write `version: 1` at the top"},
		{"WrongTypeText", "audience: walwire", "audience: 7", "5:13: auth.audience: expected text or a list of texts, got the number 7"},
		{"WrongTypeNumber", "issuer: https://auth.example.com", "issuer: 7", "4:11: auth.issuer: expected text, got the number 7: put it in quotes"},
		{"WrongTypeObject", "user:\n", "user: x\nuzer:\n", `8:7: user: expected keys with values, got the text "x"` + "\nwalwire.yaml:9:1: " + `unknown key "uzer"; did you mean "user"?`},
		{"Nothing", "issuer: https://auth.example.com", "issuer:", "4:10: auth.issuer: expected text, got nothing: give it a value or remove the key"},
		{"Alias", "audience: walwire", "audience: *x", "5:13: auth.audience: expected text or a list of texts, got an anchor or alias: write the value itself"},
		{"Bool", "version: 1\n", "version: 1\nmanage: yes\n", `2:9: manage: expected true or false, got "yes"`},
		{"Duration", "  audience:", "  clock_skew: 30\n  audience:", `5:15: auth.clock_skew: expected a duration with its unit, as in 500ms, 30s or 5m, got "30"`},
		{"DurationRange", "  audience:", "  clock_skew: 1h\n  audience:", "5:15: auth.clock_skew: 1h0m0s is out of range: give 0s to 5m0s"},
		{"Size", "version: 1\n", "version: 1\nlimits: {frame_bytes: 1 parsec}\n", `2:23: limits.frame_bytes: expected a size, as in 64KiB or 1MiB, got "1 parsec"`},
		{"Int", "version: 1\n", "version: 1\nlimits: {rows: many}\n", `2:16: limits.rows: expected a whole number, got "many"`},
		{"IntRange", "version: 1\n", "version: 1\nlimits:\n  rows: 0\n", "3:9: limits.rows: 0 is out of range: give 1 to 10000000"},
		{"EnvMissing", "postgres://walwire@127.0.0.1/app", "${NOPE}", "2:15: database_url: the environment variable NOPE is not set: set it, or give a default as in ${NOPE:-value}"},
		{"EnvOpen", "postgres://walwire@127.0.0.1/app", "${NOPE", `2:15: database_url: the } of "${" is missing; write $${ for a literal ${`},
		{"Manage", "version: 1\n", "version: 1\nmanage: true\n", "2:9: manage: needs admin_database_url: the publication and replica identities are the table owner's to change"},
		{"Listen", "version: 1\n", "version: 1\nlisten: here\n", `2:9: listen: "here" is not an address: give host:port, as in 127.0.0.1:8080`},
		{"Slot", "version: 1\n", "version: 1\nslot: My-Slot\n", `2:7: slot: "My-Slot" can't name a replication slot: use up to 63 lower-case letters, digits and underscores`},
		{"SlotLoss", "version: 1\n", "version: 1\non_slot_loss: ignore\n", `2:15: on_slot_loss: "ignore" is not known: give stop or recreate`},
		{"Origin", "version: 1\n", "version: 1\norigins:\n  - https://a.example/\n", `3:5: origins[0]: "https://a.example/" is not an origin: give scheme://host or scheme://host:port, as in https://app.example.com, https://*.example.com for every name below, or "*" for any`},
		{"OriginWild", "version: 1\n", "version: 1\norigins: ['https://*.com']\n", `2:11: origins[0]: "https://*.com" would let in pages of anybody: name the domain, as in https://*.example.com`},
		{"Proxies", "version: 1\n", "version: 1\ntrusted_proxies: [10.0.0.0/8, proxy.example.com]\n", `2:31: trusted_proxies[1]: "proxy.example.com" is not a network: give one in CIDR notation, as in 10.0.0.0/8 or fd00::/8, or an address, or unix`},
		{"BasePath", "version: 1\n", "version: 1\nbase_path: /live/\n", `2:12: base_path: "/live/" is not a path: give one like /realtime, with a / before it and none after, of letters, digits, - . _ ~`},
		{"TLSKey", "version: 1\n", "version: 1\ntls: {cert_file: a.pem}\n", `2:1: tls: key_file is missing: give the PEM file of the certificate's key`},
		{"AdminPublic", "version: 1\n", "version: 1\nadmin: {listen: ':8081'}\n", `2:17: admin.listen: :8081 can be reached from other machines: give a loopback address, as in 127.0.0.1:8081, or set admin.token (openssl rand -base64 48)`},
		{"AdminToken", "version: 1\n", "version: 1\nadmin: {listen: ':8081', token: short}\n", `2:33: admin.token: has 5 octets, at least 32 are needed: make one with openssl rand -base64 48`},
		{"AdminAddress", "version: 1\n", "version: 1\nadmin: {listen: here}\n", `2:17: admin.listen: "here" is not an address: give host:port, as in 127.0.0.1:8081, or off`},
		{"AdminSame", "version: 1\n", "version: 1\nadmin: {listen: '127.0.0.1:8080'}\n", `2:17: admin.listen: 127.0.0.1:8080 is listen as well: give another port, so that the public does not reach it`},
		{"Drain", "version: 1\n", "version: 1\ndrain: {time: 1s, spread: 2s}\n", `2:27: drain.spread: 2s is longer than drain.time, 1s: give at most that`},
		{"Memory", "version: 1\n", "version: 1\nlimits: {memory: 1MiB}\n", `2:18: limits.memory: 1MiB is out of range: give 16MiB to 1024GiB`},
		{"Secret", testSecret, "short", "7:7: auth.keys[0]: the secret has 5 octets, HS256 needs at least 32: make one with `openssl rand -base64 48`"},
		{"NoSecret", `, secret: "` + testSecret + `"`, "", "7:7: auth.keys[0]: give exactly one of secret or secret_file"},
		{"TwoSecrets", `, secret: "`, `, secret_file: x, secret: "`, "7:7: auth.keys[0]: give exactly one of secret or secret_file\nwalwire.yaml:7:43: auth.keys[0].secret_file: open x: no such file or directory"},
		{"Misplaced", "alg: HS256, secret:", "alg: EdDSA, secret:", "7:7: auth.keys[0]: give exactly one of public_key or public_key_file\nwalwire.yaml:7:30: auth.keys[0].secret: EdDSA is verified with a public key: give public_key or public_key_file instead"},
		{"NotPEM", `alg: HS256, secret:`, `alg: EdDSA, public_key:`, "7:7: auth.keys[0]: the public key is not PEM: it starts with -----BEGIN PUBLIC KEY-----"},
		{"Algorithm", "alg: HS256", "alg: none", `7:23: auth.keys[0].alg: "none" is not supported: use HS256, RS256, ES256 or EdDSA`},
		{"TwoKeys", "    - {id: main", "    - {id: main, alg: HS256, secret: \"" + testSecret + "\"}\n    - {id: main", `8:12: auth.keys[1].id: two keys have the id "main": a token's ` + "`kid` must name one"},
		{"NoKeys", testKeys, "", "3:1: auth.keys: there is no key: give at least one (id, alg, and secret or public_key), or jwks with the url of a key set"},
		{"KeysEmpty", testKeys, "  keys: []\n", "6:9: auth.keys: there is no key: give at least one (id, alg, and secret or public_key), or jwks with the url of a key set"},
		{"JWKSNoURL", testKeys, "  jwks: {refresh: 1h}\n", "6:3: auth.jwks: url is missing: say where the key set is, as in https://auth.example.com/.well-known/jwks.json"},
		{"JWKSUnknown", testKeys, "  jwks: {url: https://a.example, interval: 1h}\n", `6:34: auth.jwks: unknown key "interval"; possible here: url, algorithms, refresh, timeout, unknown_kid_interval`},
		{"JWKSNotURL", testKeys, "  jwks: {url: auth.example.com/keys}\n", "6:15: auth.jwks.url: this is not a URL to fetch keys from: give one as in https://auth.example.com/.well-known/jwks.json"},
		{"JWKSScheme", testKeys, "  jwks: {url: \"file:///keys\"}\n", "6:15: auth.jwks.url: this is not a URL to fetch keys from: give one as in https://auth.example.com/.well-known/jwks.json"},
		{"JWKSHTTP", testKeys, "  jwks: {url: \"http://auth.example.com\"}\n", "6:15: auth.jwks.url: over http anybody on the way could put in their own keys: use https; http is for this machine alone, as in http://127.0.0.1"},
		{"JWKSPassword", testKeys, "  jwks: {url: \"https://u:p@auth.example.com\"}\n", "6:15: auth.jwks.url: a user or password in the URL is not supported: key sets are public"},
		{"JWKSHS256", testKeys, "  jwks: {url: https://a.example, algorithms: [ES256, HS256]}\n",
			"6:54: auth.jwks.algorithms[1]: HS256 is verified with a secret, and a key set is for everybody to fetch: use RS256, ES256 or EdDSA, and put a secret into auth.keys"},
		{"JWKSAlgorithm", testKeys, "  jwks: {url: https://a.example, algorithms: PS256}\n", `6:46: auth.jwks.algorithms: "PS256" is not supported: use RS256, ES256 or EdDSA`},
		{"JWKSNoAlgorithm", testKeys, "  jwks: {url: https://a.example, algorithms: []}\n", "6:46: auth.jwks.algorithms: is empty: list RS256, ES256 or EdDSA, or remove it for all three"},
		{"JWKSRefresh", testKeys, "  jwks: {url: https://a.example, refresh: 1s}\n", "6:43: auth.jwks.refresh: 1s is out of range: give 10s to 24h0m0s"},
		{"JWKSTimeout", testKeys, "  jwks: {url: https://a.example, timeout: 1h}\n", "6:43: auth.jwks.timeout: 1h0m0s is out of range: give 100ms to 1m0s"},
		{"JWKSInterval", testKeys, "  jwks: {url: https://a.example, unknown_kid_interval: 0s}\n", "6:56: auth.jwks.unknown_kid_interval: 0s is out of range: give 1s to 1h0m0s"},
		{"ClaimMissing", "    roles: roles\n", "", "9:3: user.claims: roles is missing: say which claim holds it"},
		{"AttributeName", "    staff_id: staff_id", "    staff-id: staff_id", `13:15: user.claims["staff-id"]: "staff-id" can't be an attribute's name in rules: use letters, digits and underscores, and no word that CEL reserves`},
		{"RowTable", "tables:\n", "users:\n    - {table: visit, match: {user_id: id}, attributes: {s: id}}\ntables:\n", `15:15: users[0].table: no table is mapped as "visit"; did you mean "visits"?`},
		{"RowMatch", "tables:\n", "users:\n    - {table: visits, match: {user_id: uid}, attributes: {s: id}}\ntables:\n",
			`15:40: users[0].match.user_id: there is no attribute "uid" before this row; did you mean "id"?; known here: company, id, roles, staff_id`},
		{"RowCompany", "tables:\n", "users:\n    - {table: visits, match: {user_id: id}, attributes: {company: id}}\ntables:\n",
			"15:67: users[0].attributes.company: company can't come from a row: it is always the token's; choose another name"},
		{"Relation", "table: public.visits", "table: public.visits v", "16:12: tables.visits.table: \"public.visits v\" is not a table's name: unexpected \" v\" after the name \"visits\": quote a name that holds such a character, as in public.\"My Table\""},
		{"PublicName", "  visits:\n", "  my visits:\n", `15:3: tables["my visits"]: "my visits" can't be a public name: use letters, digits and underscores`},
		{"TwiceMapped", "tables:\n", "tables:\n  other: {table: visits, company: company_id}\n", `17:12: tables.visits.table: public.visits is already mapped as "other": a table has one public name`},
		{"Columns", "columns: [id, status]", "columns: id", `21:18: tables.visits.roles.staff.columns: expected a list of columns or "*" for all, got "id": write [id] for this one`},
		{"ColumnsEmpty", "columns: [id, status]", "columns: []", "21:18: tables.visits.roles.staff.columns: is empty: list the columns the role may see, or remove the role"},
		{"ColumnTwice", "columns: [id, status]", "columns: [id, id]", `21:23: tables.visits.roles.staff.columns[1]: "id" is here twice: keep one`},
		{"ScheduleNoURL", "tables:\n", schedule("", "every: 1m\n      sql: SELECT 1"),
			"14:1: schedules: database_url is missing: give the URL of a role of its own, that may do what the statements do and nothing else; empty, the schedules are off"},
		{"ScheduleNoStatements", "tables:\n", "schedules: {database_url: x}\ntables:\n", "14:1: schedules: statements is missing: name at least one statement"},
		{"SchedulesEmpty", "tables:\n", "schedules: {database_url: x, statements: {}}\ntables:\n", "14:42: schedules.statements: is empty: name at least one statement, or remove schedules"},
		{"ScheduleNoEvery", "tables:\n", schedule(url, "sql: SELECT 1"), "17:5: schedules.statements.tidy: every is missing: say how often to run it, as in 1m"},
		{"ScheduleNoSQL", "tables:\n", schedule(url, "every: 1m"), "17:5: schedules.statements.tidy: sql is missing: give the statement"},
		{"ScheduleUnknown", "tables:\n", schedule(url, "evry: 1m\n      every: 1m\n      sql: SELECT 1"), `18:7: schedules.statements.tidy: unknown key "evry"; did you mean "every"?`},
		{"ScheduleOften", "tables:\n", schedule(url, "every: 999ms\n      sql: SELECT 1"), "18:14: schedules.statements.tidy.every: 999ms is out of range: give 1s to 24h0m0s"},
		{"ScheduleSeldom", "tables:\n", schedule(url, "every: 25h\n      sql: SELECT 1"), "18:14: schedules.statements.tidy.every: 25h0m0s is out of range: give 1s to 24h0m0s"},
		{"ScheduleTimeout", "tables:\n", schedule(url, "every: 1m\n      timeout: 0s\n      sql: SELECT 1"), "19:16: schedules.statements.tidy.timeout: 0s is out of range: give 100ms to 1h0m0s"},
		{"ScheduleSQLType", "tables:\n", schedule(url, "every: 1m\n      sql: [SELECT 1]"), "19:12: schedules.statements.tidy.sql: expected text, got a list"},
		{"ScheduleSQLEmpty", "tables:\n", schedule(url, "every: 1m\n      sql: '-- nothing'"), "19:12: schedules.statements.tidy.sql: is empty: give the statement"},
		{"ScheduleCommit", "tables:\n", schedule(url, "every: 1m\n      sql: '/* x */ commit'"),
			"19:12: schedules.statements.tidy.sql: begins with COMMIT: give one statement that begins with DELETE, INSERT, MERGE, SELECT, UPDATE, WITH; it runs in a transaction of its own"},
		{"ScheduleName", "tables:\n", replaced(t, schedule(url, "every: 1m\n      sql: SELECT 1"), "tidy", "tidy-up"),
			`17:5: schedules.statements["tidy-up"]: "tidy-up" can't be a schedule's name: use up to 63 letters, digits and underscores`},
		{"SecondDocument", "tables:\n", "---\ntables:\n", "15:1: a second document starts here: keep one"},
		{"Syntax", "  audience: walwire", "  audience: [walwire", "6:3: this is not YAML: ',' or ']' must be specified"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("walwire.yaml", []byte(replaced(t, valid, tt.old, tt.new)), testEnv(nil))
			if err == nil {
				t.Fatal("it loaded")
			}
			if want := "walwire.yaml:" + tt.want; err.Error() != want {
				t.Errorf("got\n%v\nwant\n%s", err, want)
			}
		})
	}
}

func TestParseErrorsTogether(t *testing.T) {
	text := replaced(t, valid, "database_url:", "databse_url:")
	text = replaced(t, text, "audience: walwire", "audience: 7")
	_, err := Parse("walwire.yaml", []byte(text), nil)
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 || all[0].Line != 2 || all[1].Line != 5 {
		t.Errorf("want both findings in the file's order, got:\n%v", err)
	}
	var one *Error
	if !errors.As(err, &one) || one.Path != "" || one.File != "walwire.yaml" {
		t.Errorf("first finding: %+v", one)
	}
}

func TestParseEmptyAndStrange(t *testing.T) {
	for _, text := range []string{"", "# only a comment\n", "---\n", "null", "[]", "x", "\xff", "a: &a [*a]", "? {a: b}\n: c\n", "<<: {version: 1}"} {
		if _, err := Parse("walwire.yaml", []byte(text), nil); err == nil {
			t.Errorf("%q loaded", text)
		} else if !strings.HasPrefix(err.Error(), "walwire.yaml:") {
			t.Errorf("%q: no position in %q", text, err)
		}
	}
}

func TestLoadKeyFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const public = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----"
	write("secret", testSecret+"\r\n")
	write("public.pem", public+"\n")
	write("walwire.yaml", replaced(t, valid, `    - {id: main, alg: HS256, secret: "`+testSecret+`"}`,
		"    - {id: main, alg: HS256, secret_file: secret}\n    - {id: ed, alg: EdDSA, public_key_file: public.pem}"))
	cfg, err := Load(filepath.Join(dir, "walwire.yaml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Auth.Keys[0].Secret.Reveal() != testSecret || string(cfg.Auth.Keys[1].PublicKey) != public {
		t.Errorf("keys: %+v", cfg.Auth.Keys)
	}
	if _, err := Load(filepath.Join(dir, "nope.yaml"), nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// FuzzParse holds that no file makes Parse panic, and that every error names
// the file.
func FuzzParse(f *testing.F) {
	f.Add(valid)
	f.Add("a: |\n  x\n b: [1, {c: \"\\u00\"}]\n? k\n")
	f.Add("tables: {t: {roles: {r: {rows: >-\n x\n}}}}")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := Parse("w.yaml", []byte(text), nil); err != nil && !strings.HasPrefix(err.Error(), "w.yaml") {
			t.Errorf("no file in %q", err)
		}
	})
}

func TestParseSchedules(t *testing.T) {
	text := replaced(t, valid, "tables:\n", `schedules:
  database_url: ${URL:-}
  database_password_file: password
  statements:
    tidy:
      every: 1h
      sql: |
        -- ${literally}
        DELETE FROM old
    count_all: {every: 1s, timeout: 5m, sql: "(SELECT 1)"}
tables:
`)
	for url, enabled := range map[string]bool{"": false, "postgres://tidy@h/app": true} {
		cfg, err := Parse("etc/walwire.yaml", []byte(text), testEnv(map[string]string{"URL": url}))
		if err != nil {
			t.Fatal(err)
		}
		want := Schedules{NewSecret(url), "etc/password", []ScheduleConfig{
			{"tidy", time.Hour, 30 * time.Second, "-- ${literally}\nDELETE FROM old\n"}, {"count_all", time.Second, 5 * time.Minute, "(SELECT 1)"},
		}}
		if !reflect.DeepEqual(cfg.Schedules, want) || cfg.Schedules.Enabled() != enabled {
			t.Errorf("schedules: %+v", cfg.Schedules)
		}
	}
	if cfg := mustParse(t, valid); cfg.Schedules.Enabled() {
		t.Errorf("schedules: %+v, and none are configured", cfg.Schedules)
	}
}

func TestParseJWKS(t *testing.T) {
	cfg := mustParse(t, replaced(t, valid, testKeys, "  jwks: {url: \"http://[::1]:8080/keys\"}\n"))
	want := JWKS{"http://[::1]:8080/keys", []string{"RS256", "ES256", "EdDSA"}, time.Hour, 10 * time.Second, 30 * time.Second}
	if len(cfg.Auth.Keys) != 0 || !reflect.DeepEqual(*cfg.Auth.JWKS, want) {
		t.Errorf("auth: %+v, jwks %+v", cfg.Auth, cfg.Auth.JWKS)
	}
	cfg = mustParse(t, replaced(t, valid, testKeys, testKeys+`  jwks:
    url: https://auth.example.com/keys
    algorithms: ES256
    refresh: 10m
    timeout: 2s
    unknown_kid_interval: 1m
`))
	want = JWKS{"https://auth.example.com/keys", []string{"ES256"}, 10 * time.Minute, 2 * time.Second, time.Minute}
	if len(cfg.Auth.Keys) != 1 || !reflect.DeepEqual(*cfg.Auth.JWKS, want) {
		t.Errorf("auth: %+v, jwks %+v", cfg.Auth, cfg.Auth.JWKS)
	}
	if cfg := mustParse(t, valid); cfg.Auth.JWKS != nil {
		t.Errorf("jwks %+v, and none is configured", cfg.Auth.JWKS)
	}
}

// The block of the example that is commented out loads, and says the defaults.
func TestExampleJWKS(t *testing.T) {
	text, err := os.ReadFile("../walwire.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "  # jwks:\n")
	if !found {
		t.Fatal("the example has no jwks")
	}
	block := "  jwks:\n"
	for line := range strings.Lines(rest) {
		setting, ok := strings.CutPrefix(line, "  #   ")
		if !ok {
			break
		}
		block += "    " + setting
	}
	want := defaultJWKS()
	want.URL = "https://auth.example.com/.well-known/jwks.json"
	if cfg := mustParse(t, replaced(t, valid, testKeys, block)); !reflect.DeepEqual(cfg.Auth.JWKS, want) {
		t.Errorf("jwks %+v", cfg.Auth.JWKS)
	}
}
