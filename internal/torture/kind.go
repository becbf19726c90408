package torture

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// kind is a type of a column, as far as the wire form and the operators go.
type kind int

const (
	kindInt kind = iota
	kindBig      // bigint and numeric: strings on the wire
	kindFloat
	kindBool
	kindText // and whatever else is a string as PostgreSQL prints it
	kindChar
	kindEnum
	kindUUID
	kindTime // timestamptz
	kindDate
	kindInterval
	kindBytea
	kindJSONB
	kindTextArray
	kindIntArray
)

// wire is the JSON of docs/protocol.md for a value as PostgreSQL prints it, in
// the canonical form of canonical. It shares no code with the server.
func (k kind) wire(text string) (string, error) {
	switch k {
	case kindInt:
		return text, nil
	case kindFloat:
		if strings.ContainsAny(text, "NI") { // NaN, Infinity
			return jsonString(text), nil
		}
		return canonicalNumber(text)
	case kindBool:
		return strconv.FormatBool(text == "t"), nil
	case kindTime:
		return wireTime(text)
	case kindBytea:
		raw, err := hex.DecodeString(strings.TrimPrefix(text, `\x`))
		return jsonString(base64.StdEncoding.EncodeToString(raw)), err
	case kindJSONB:
		return canonical([]byte(text))
	case kindTextArray, kindIntArray:
		return wireArray(text, k == kindTextArray)
	}
	return jsonString(text), nil
}

// wireTime reads "2026-03-01 09:00:00.5+00".
func wireTime(text string) (string, error) {
	body, utc := strings.CutSuffix(text, "+00")
	day, clock, ok := strings.Cut(body, " ")
	if !utc || !ok || len(day) != 10 {
		return "", fmt.Errorf("timestamp %q", text)
	}
	whole, fraction, _ := strings.Cut(clock, ".")
	return jsonString(day + "T" + whole + "." + (fraction + "000000")[:6] + "Z"), nil
}

// wireArray reads a one-dimensional array.
func wireArray(text string, quote bool) (string, error) {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return "", fmt.Errorf("array %q", text)
	}
	out := "["
	for i := 1; i < len(text)-1; i++ {
		if len(out) > 1 {
			out += ","
		}
		var elem []byte
		quoted := text[i] == '"'
		if quoted {
			i++
		}
		for ; i < len(text)-1; i++ {
			if text[i] == '\\' {
				i++
			} else if text[i] == '"' || !quoted && text[i] == ',' {
				break
			}
			elem = append(elem, text[i])
		}
		if quoted {
			i++ // the comma
		}
		switch {
		case !quoted && string(elem) == "NULL":
			out += "null"
		case quote:
			out += jsonString(string(elem))
		default:
			out += string(elem)
		}
	}
	return out + "]", nil
}

func jsonString(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string: always possible
	return strings.TrimSuffix(b.String(), "\n")
}

// canonicalNumber spells a double one way; a whole number that none can hold stays as it is.
func canonicalNumber(text string) (string, error) {
	whole := !strings.ContainsAny(text, ".eE")
	if whole && len(text) < 16 {
		return text, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return "", err
	}
	if whole && strconv.FormatFloat(f, 'f', -1, 64) != text {
		return text, nil
	}
	return strconv.FormatFloat(f, 'g', -1, 64), nil
}

// canonical gives equal text for equal JSON: no white space, members in order,
// numbers and strings in one spelling.
func canonical(raw []byte) (string, error) {
	switch c := raw[0]; {
	case c == '"' && bytes.IndexByte(raw, '\\') < 0:
		return string(raw), nil
	case c == 't' || c == 'f' || c == 'n':
		return string(raw), nil
	case c == '-' || c >= '0' && c <= '9':
		return canonicalNumber(string(raw))
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "", err
	}
	return canonicalValue(v)
}

func canonicalValue(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return jsonString(v), nil
	case json.Number:
		return canonicalNumber(v.String())
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			var err error
			if parts[i], err = canonicalValue(v[i]); err != nil {
				return "", err
			}
		}
		return "[" + strings.Join(parts, ",") + "]", nil
	case map[string]any:
		parts := make([]string, 0, len(v))
		for name, member := range v {
			text, err := canonicalValue(member)
			if err != nil {
				return "", err
			}
			parts = append(parts, jsonString(name)+":"+text)
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}", nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

// ordered says whether the kind can stand in an order and be compared with <.
func (k kind) ordered() bool {
	switch k {
	case kindEnum, kindJSONB, kindTextArray, kindIntArray:
		return false
	}
	return true
}
