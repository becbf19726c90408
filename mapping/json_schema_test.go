package mapping

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// everyKey is a configuration with every key that there is.
const everyKey = `version: 1
database_url: postgres://walwire@127.0.0.1/app
database_password_file: password
admin_database_url: postgres://admin@127.0.0.1/app
manage: true
listen: 127.0.0.1:8080
base_path: /live
trusted_proxies: [10.0.0.0/8]
tls: {cert_file: tls.crt, key_file: tls.key}
admin: {listen: "off", token: "` + testSecret + `"}
drain: {time: 10s, spread: 1s}
slot: live
on_slot_loss: recreate
slot_failover: true
publication: live
origins: "*"
cursor_key: "` + testSecret + `"
retention: {age: 1m, memory: 32MiB, changes: 1000, wal: 16777216}
limits:
  {auth_deadline: 1s, token_bytes: 4KiB, frame_bytes: 4096, subscriptions: 1, rows: 1, snapshot_connections: 1,
  snapshot_timeout: 1s, wait_timeout: 1s, filter_values: 1, filter_depth: 1, filter_nodes: 1,
  connection_attempts_per_second: 1, connection_attempts_burst: 1, connections_per_address: 1, connections_per_user: 1,
  connections_per_company: 1, frames_per_second: 1, frames_burst: "1", memory: 16MiB, tickets_per_user: 1}
auth:
  issuer: https://auth.example.com
  audience: walwire
  clock_skew: 1m
  keys:
    - {id: main, alg: HS256, secret: "` + testSecret + `"}
  jwks: {url: "https://auth.example.com/jwks", algorithms: ES256, refresh: 1m, timeout: 1s, unknown_kid_interval: 1m}
user:
  claims: {id: sub, company: tenant, roles: roles}
  operators: support
users:
  - {table: visits, match: {user: id}, for: staff, required: true, active: row.active, attributes: {staff: id}}
stats: {roles: [owner], branch: staff}
rooms: {staff: room == user.id}
schedules:
  database_url: postgres://jobs@127.0.0.1/app
  database_password_file: password
  statements:
    old: {every: 1h, timeout: 10s, sql: DELETE FROM visits}
tables:
  visits:
    table: public.visits
    company: company_id
    roles:
      owner: {rows: true, columns: "*"}
      staff: {rows: row.staff == user.staff, columns: {except: [price]}}
    rooms: {staff: staff}
    events:
      - {event: visit.moved, on: update, when: changed.at, changes: at, of: old, columns: [at], rooms: [staff]}
      - {event: visit.priced, on: update, old: price}
      - {event: visit.many, on: update, several: 5, instead_of: visit.moved}
`

func compiledSchema(tb testing.TB) *jsonschema.Schema {
	tb.Helper()
	text, err := jsonschema.UnmarshalJSON(strings.NewReader(JSONSchema()))
	if err != nil {
		tb.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", text); err != nil {
		tb.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// yamlValue is a YAML document as an editor sees it.
func yamlValue(tb testing.TB, text string) map[string]any {
	tb.Helper()
	encoded, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(encoded, &v); err != nil {
		tb.Fatal(err)
	}
	return v
}

// Everything that the repository shows and that loads is valid by the schema, this
// package's tests included: see mustParse.
func TestJSONSchemaValid(t *testing.T) {
	schema := compiledSchema(t)
	texts := map[string]string{"every key": everyKey}
	fenced := regexp.MustCompile("(?s)```yaml\n(version: 1\n.*?)```")
	for _, pattern := range []string{"../*.yaml", "../*.md", "../docs/*.md", "../cmd/walwire/testdata/script/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			switch filepath.Ext(file) {
			case ".yaml":
				texts[file] = string(data)
			case ".md":
				for _, m := range fenced.FindAllSubmatch(data, -1) {
					texts[file+": "+string(m[1])] = string(m[1])
				}
			case ".txtar":
				for _, part := range txtar.Parse(data).Files {
					if strings.HasSuffix(part.Name, ".yaml") {
						texts[file+": "+part.Name] = string(part.Data)
					}
				}
			}
		}
	}
	set := testEnv(map[string]string{"WALWIRE_DATABASE_URL": "postgres://", "WALWIRE_TOKEN_SECRET": testSecret, "SECRET": testSecret})
	valid := 0
	for name, text := range texts {
		if _, err := Parse("walwire.yaml", []byte(text), set); err != nil {
			if !strings.Contains(name, ".txtar") { // which show mistakes too
				t.Errorf("%s\ndoes not load: %v", name, err)
			}
			continue
		}
		valid++
		if err := schema.Validate(yamlValue(t, text)); err != nil {
			t.Errorf("%s\n%v", name, err)
		}
	}
	if valid < 5 {
		t.Errorf("only %d configurations were found", valid)
	}
}

// What the schema refuses, the program refuses.
func TestJSONSchemaWrong(t *testing.T) {
	schema := compiledSchema(t)
	for name, change := range map[string][2]string{
		"unknown key":              {"slot: live", "slots: live"},
		"unknown key of a limit":   {"rows: 1,", "row: 1,"},
		"unknown key of a role":    {"{rows: true, columns: \"*\"}", "{rows: true, columns: \"*\", column: id}"},
		"unknown key of an event":  {"when: changed.at", "if: changed.at"},
		"version":                  {"version: 1", "version: 2"},
		"number for text":          {"slot: live", "slot: 1"},
		"text for a list of keys":  {"keys:\n    - {id: main, alg: HS256, secret: \"" + testSecret + "\"}", "keys: main"},
		"number for a rule":        {"room == user.id", "1"},
		"text for a number":        {"changes: 1000,", "changes: many,"},
		"out of range":             {"changes: 1000,", "changes: 999,"},
		"duration without a unit":  {"age: 1m", "age: 60"},
		"duration of another unit": {"age: 1m", "age: 1d"},
		"size of another unit":     {"memory: 32MiB", "memory: 32 megabytes"},
		"text for a truth":         {"manage: true", "manage: maybe"},
		"nothing":                  {"slot: live", "slot:"},
		"missing company":          {"    company: company_id\n", ""},
		"missing issuer":           {"  issuer: https://auth.example.com\n", ""},
		"missing claim":            {"company: tenant, ", ""},
		"missing every":            {"every: 1h, ", ""},
		"missing on":               {"visit.priced, on: update", "visit.priced"},
		"on":                       {"visit.priced, on: update", "visit.priced, on: upsert"},
		"of":                       {"of: old", "of: new"},
		"old on insert":            {"visit.priced, on: update", "visit.priced, on: insert"},
		"event's name":             {"visit.priced", "VisitPriced"},
		"instead_of alone":         {"several: 5, ", ""},
		"on_slot_loss":             {"on_slot_loss: recreate", "on_slot_loss: ignore"},
		"alg":                      {"alg: HS256", "alg: none"},
		"key without a secret":     {", secret: \"" + testSecret + "\"", ""},
		"secret of ES256":          {"alg: HS256", "alg: ES256"},
		"columns of one name":      {"columns: {except: [price]}", "columns: price"},
		"columns of none":          {"columns: {except: [price]}", "columns: []"},
		"table's name":             {"  visits:\n", "  \"vis its\":\n"},
		"a room's name":            {"rooms: {staff: room", "rooms: {row: room"},
		"a company from a row":     {"attributes: {staff: id}", "attributes: {company: id}"},
	} {
		t.Run(name, func(t *testing.T) {
			text := replaced(t, everyKey, change[0], change[1])
			if err := schema.Validate(yamlValue(t, text)); err == nil {
				t.Error("the schema takes it")
			}
			if _, err := Parse("walwire.yaml", []byte(text), nil); err == nil {
				t.Error("the program takes it")
			}
		})
	}
}

// node is a part of the schema.
type node map[string]any

func rootNode(tb testing.TB) node {
	tb.Helper()
	var root node
	if err := json.Unmarshal([]byte(JSONSchema()), &root); err != nil {
		tb.Fatal(err)
	}
	return root
}

func (n node) at(name string) node {
	child, _ := n[name].(map[string]any)
	return child
}

// plain follows a reference.
func (n node) plain(root node) node {
	if to, ok := n["$ref"].(string); ok {
		return root.at("$defs").at(strings.TrimPrefix(to, "#/$defs/"))
	}
	return n
}

// each calls fn for every object with known keys in value, and notes which of their keys
// it has.
func (n node) each(root node, value any, used map[string]bool, fn func(n node, object map[string]any)) {
	n = n.plain(root)
	if options, ok := n["anyOf"].([]any); ok && n["properties"] == nil {
		for _, option := range options {
			node(option.(map[string]any)).each(root, value, used, fn)
		}
	}
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			n.at("items").each(root, item, used, fn)
		}
	case map[string]any:
		properties := n.at("properties")
		if properties != nil {
			fn(n, value)
		}
		for name, item := range value {
			if child := properties.at(name); child != nil {
				used[child["description"].(string)] = true
				child.each(root, item, used, fn)
			} else {
				n.at("additionalProperties").each(root, item, used, fn)
			}
		}
	}
}

func (n node) keys() []string { return slices.Sorted(maps.Keys(n.at("properties"))) }

// The schema and the decoder know the same keys, everywhere, and require the same: what
// the decoder knows it says where it finds another key.
func TestJSONSchemaKeys(t *testing.T) {
	root := rootNode(t)
	value, used := yamlValue(t, everyKey), make(map[string]bool)
	parse := func() string {
		text, err := json.Marshal(value) // which is YAML too
		if err != nil {
			t.Fatal(err)
		}
		_, err = Parse("walwire.yaml", text, nil)
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if found := parse(); found != "" {
		t.Fatal(found)
	}
	possible := regexp.MustCompile(`unknown key "zzzzzzzzzzzz"; possible here: (.*)`)
	objects := 0
	root.each(root, value, used, func(n node, object map[string]any) {
		objects++
		object["zzzzzzzzzzzz"] = 1
		m := possible.FindStringSubmatch(parse())
		delete(object, "zzzzzzzzzzzz")
		if m == nil {
			t.Fatalf("the decoder does not say what is possible beside %v", slices.Sorted(maps.Keys(object)))
		}
		known := strings.Split(m[1], ", ")
		slices.Sort(known)
		if !slices.Equal(known, n.keys()) {
			t.Errorf("the decoder knows\n%v\nthe schema\n%v", known, n.keys())
		}
		required, _ := n["required"].([]any)
		for name, v := range maps.Clone(object) {
			delete(object, name)
			missing := strings.Contains(parse(), ": "+name+" is missing: ")
			object[name] = v
			if missing != slices.Contains(required, any(name)) {
				t.Errorf("%s of %v: the decoder requires it: %v", name, n.keys(), missing)
			}
		}
	})
	if objects < 15 {
		t.Errorf("only %d objects were looked at", objects)
	}
	// The keys that everyKey can't have, as one excludes another.
	for _, name := range []string{"secret_file", "public_key", "public_key_file"} {
		used[root.at("$defs").at("key").at("properties").at(name)["description"].(string)] = true
	}
	for _, n := range append([]node{root}, children(root)...) {
		for name, p := range n.at("properties") {
			if p, ok := p.(map[string]any); ok && p["description"] == nil {
				t.Errorf("%s of %v has no description", name, n.keys())
			} else if ok && !used[p["description"].(string)] {
				t.Errorf("everyKey has no %s beside %v", name, n.keys())
			}
		}
	}
}

// children are all parts of the schema that describe keys, but for conditions.
func children(n node) []node {
	var all []node
	for name, v := range n {
		if name == "if" || name == "then" || name == "allOf" || name == "anyOf" && n["properties"] != nil {
			continue
		}
		items, _ := v.([]any)
		if object, ok := v.(map[string]any); ok {
			items = append(items, object)
		}
		for _, item := range items {
			object, ok := item.(map[string]any)
			if !ok {
				continue
			}
			if node(object).at("properties") != nil && object["type"] == "object" {
				all = append(all, object)
			}
			all = append(all, children(object)...)
		}
	}
	return all
}

// The defaults that the schema names are those of the program, and its bounds too.
func TestJSONSchemaDefaults(t *testing.T) {
	root := rootNode(t)
	value := yamlValue(t, replaced(t, valid, testKeys, testKeys+"  jwks: {url: \"https://auth.example.com/jwks\"}\n"))
	parse := func() (*Config, error) {
		text, err := json.Marshal(value) // which is YAML too
		if err != nil {
			t.Fatal(err)
		}
		return Parse("walwire.yaml", text, nil)
	}
	want, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	defaults := 0
	var fill func(n node, object map[string]any)
	fill = func(n node, object map[string]any) {
		for name, p := range n.at("properties") {
			child := node(p.(map[string]any))
			if v, ok := child["default"]; ok {
				object[name] = v
				defaults++
			}
			if child.at("properties") == nil || name == "tls" || name == "stats" || name == "user" || name == "schedules" {
				continue
			}
			if object[name] == nil {
				object[name] = make(map[string]any)
			}
			fill(child, object[name].(map[string]any))
		}
	}
	fill(root, value)
	got, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	got.LocatedAs(want)
	for i := range got.Tables {
		for j := range got.Tables[i].Roles {
			got.Tables[i].Roles[j].Rows.at, want.Tables[i].Roles[j].Rows.at = nil, nil
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("with the schema's defaults it is\n%+v\nwithout them\n%+v", got, want)
	}
	if defaults < 35 {
		t.Errorf("the schema names %d defaults only", defaults)
	}
	for _, section := range []string{"limits", "retention"} {
		object := value[section].(map[string]any)
		for name, p := range root.at("properties").at(section).at("properties") {
			options, ok := p.(map[string]any)["anyOf"].([]any)
			if !ok {
				continue
			}
			bounds, kept := options[0].(map[string]any), object[name]
			for number, fits := range map[float64]bool{
				bounds["minimum"].(float64): true, bounds["minimum"].(float64) - 1: false,
				bounds["maximum"].(float64): true, bounds["maximum"].(float64) + 1: false,
			} {
				object[name] = int(number)
				if _, err := parse(); (err == nil) != fits {
					t.Errorf("%s.%s: %v: %v", section, name, number, err)
				}
			}
			object[name] = kept
		}
	}
}
