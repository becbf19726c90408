package mapping

import (
	"errors"
	"fmt"
	"strings"
)

// Relation is a table's schema and name as the catalogue holds them, unquoted.
type Relation struct{ Schema, Name string }

// String gives the name as SQL, quoted where SQL needs it.
func (r Relation) String() string { return quoteName(r.Schema) + "." + quoteName(r.Name) }

// ParseRelation reads a table's name as SQL does: parts without quotes are
// folded to lower case, quoted ones are taken as they stand, with "" for a
// quotation mark. Without a schema it is public: a search path would make
// the meaning depend on who asks.
func ParseRelation(s string) (Relation, error) {
	var parts []string
	rest := s
	for {
		part, after, err := scanName(rest)
		if err != nil {
			return Relation{}, err
		}
		parts = append(parts, part)
		if after == "" {
			break
		}
		if after[0] != '.' {
			return Relation{}, fmt.Errorf("unexpected %q after the name %q: quote a name that holds such a character, as in public.\"My Table\"", after, part)
		}
		rest = after[1:]
	}
	switch len(parts) {
	case 1:
		return Relation{Schema: "public", Name: parts[0]}, nil
	case 2:
		return Relation{Schema: parts[0], Name: parts[1]}, nil
	}
	return Relation{}, errors.New("too many dots: give schema.table, and quote a name that holds a dot")
}

func scanName(s string) (name, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		return scanQuotedName(s)
	}
	end := 0
	for end < len(s) && isNameByte(s[end], end == 0) {
		end++
	}
	if end == 0 {
		return "", "", errors.New("a name is missing: give schema.table, as in public.orders")
	}
	return checkName(strings.ToLower(s[:end]), s[end:])
}

func scanQuotedName(s string) (name, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			b.WriteByte(s[i])
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			b.WriteByte('"')
			i++
			continue
		}
		return checkName(b.String(), s[i+1:])
	}
	return "", "", errors.New(`the closing " of a quoted name is missing`)
}

// checkName refuses what PostgreSQL would refuse or cut silently.
func checkName(name, rest string) (string, string, error) {
	switch {
	case name == "":
		return "", "", errors.New(`a quoted name is empty`)
	case len(name) > 63:
		return "", "", fmt.Errorf("the name %q is longer than the 63 octets PostgreSQL keeps", name)
	case strings.ContainsRune(name, 0):
		return "", "", errors.New("a name holds a NUL character")
	}
	return name, rest, nil
}

func isNameByte(c byte, first bool) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_', c >= 0x80:
		return true
	}
	return !first && ('0' <= c && c <= '9' || c == '$')
}

func quoteName(name string) string {
	for i := range len(name) {
		if c := name[i]; !isNameByte(c, i == 0) || 'A' <= c && c <= 'Z' || c >= 0x80 {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}
