package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/cdc/pgvalue"
	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/mapping"
)

// typesCmd is `walwire types`.
type typesCmd struct {
	configFlags
	Role []string `help:"Only these roles. Default: all of the configuration." placeholder:"ROLE"`
}

// Help explains the command.
func (typesCmd) Help() string {
	return `Prints TypeScript interfaces of the mapped tables' rows, for each role with the columns that it may see, from the configuration and the database. Frontends give them to the SDK:

  walwire types --config walwire.yaml --role receptionist >src/rows.ts

  client.liveQuery<ReceptionistTables["orders"]>({ table: "orders" })

Values are as docs/protocol.md has them. Print them again when the schema or the configuration changes.`
}

// Run reads the catalogue and prints.
func (t *typesCmd) Run(ctx context.Context, c *console) error {
	cfg, err := t.load()
	if err != nil {
		return err
	}
	if cfg.DatabaseURL.IsZero() {
		return errNoDatabase
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	conn, err := cdc.Connect(ctx, cfg.DatabaseURL.Reveal(), cfg.DatabasePasswordFile)
	if err != nil {
		return fmt.Errorf("the database can't be reached: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	m, infos, err := app.Compiled(ctx, cfg, conn)
	if err != nil {
		return err
	}
	roles := rolesOf(cfg)
	for _, role := range t.Role {
		if !slices.Contains(roles, role) {
			return fmt.Errorf("--role: no table is open to a role %q: there are %s", role, strings.Join(roles, ", "))
		}
	}
	if len(t.Role) > 0 {
		roles = t.Role
	}
	return writeTypes(c.out, t.Config, m, infos, roles)
}

// rolesOf gives the roles of a configuration, in the order in which they first stand there.
func rolesOf(cfg *mapping.Config) []string {
	var roles []string
	for _, t := range cfg.Tables {
		for _, r := range t.Roles {
			if !slices.Contains(roles, r.Name) {
				roles = append(roles, r.Name)
			}
		}
	}
	return roles
}

func writeTypes(w io.Writer, file string, m *mapping.Mapping, infos map[string]mapping.TableInfo, roles []string) error {
	var b strings.Builder
	for _, role := range roles {
		var tables strings.Builder
		for _, t := range m.Tables() {
			columns, ok := t.ColumnsOf(role)
			if !ok {
				continue
			}
			name := typeName(role) + typeName(t.Name)
			fmt.Fprintf(&b, "\n/** A row of %s, as %s sees it. */\nexport interface %s {\n", t.Name, role, name)
			for _, i := range columns {
				column := infos[t.Name].Columns[i]
				kind := typeOf(column.Type)
				if !column.NotNull {
					kind += " | null"
				}
				fmt.Fprintf(&b, "  readonly %s: %s;\n", memberName(column.Name), kind)
			}
			b.WriteString("}\n")
			fmt.Fprintf(&tables, "  readonly %s: %s;\n", memberName(t.Name), name)
		}
		fmt.Fprintf(&b, "\n/** The tables that %s sees. */\nexport interface %sTables {\n%s}\n", role, typeName(role), tables.String())
	}
	head := fmt.Sprintf("// By walwire types, from %s: not to be edited.\n", file)
	if strings.Contains(b.String(), "Json") {
		head += "import type { Json } from \"walwire\";\n"
	}
	_, err := io.WriteString(w, head+b.String())
	return err
}

// typeOf is how docs/protocol.md has values of a type.
func typeOf(t *pgvalue.Type) string {
	switch t.Kind {
	case pgvalue.KindBool:
		return "boolean"
	case pgvalue.KindInt, pgvalue.KindOID:
		return "number"
	case pgvalue.KindFloat4, pgvalue.KindFloat8:
		return `number | "NaN" | "Infinity" | "-Infinity"`
	case pgvalue.KindJSON, pgvalue.KindJSONB:
		return "Json"
	case pgvalue.KindEnum:
		labels := make([]string, len(t.Labels))
		for i, l := range t.Labels {
			labels[i] = quoteJSON(l)
		}
		return strings.Join(labels, " | ")
	case pgvalue.KindArray:
		return "readonly (" + typeOf(t.Elem) + " | null)[]"
	}
	return "string"
}

// typeName makes a type's name of a role's or a table's.
func typeName(name string) string {
	var b strings.Builder
	for _, word := range strings.FieldsFunc(name, func(r rune) bool { return !isWord(r) }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// memberName quotes what is no identifier.
func memberName(name string) string {
	if name != "" && strings.IndexFunc(name, func(r rune) bool { return !isWord(r) && r != '_' }) < 0 && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return quoteJSON(name)
}

func quoteJSON(s string) string {
	text, _ := json.Marshal(s) // of a string: can't fail
	return string(text)
}
