package pgvalue

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Parse turns a constant of a filter, rule or claim into a Param of the type.
// v is what encoding/json gives (string, bool, float64 or json.Number, []any,
// map[string]any), or an int, int64, uint64, []string, time.Time or
// time.Duration. The forms are those of AppendJSON. PostgreSQL accepts the
// Param's text: what it would refuse is an error here, one for the author of
// the constant. nil is refused, since NULL equals nothing.
func (t *Type) Parse(v any) (Param, error) {
	text, err := t.parseText(v)
	if err != nil {
		return Param{}, err
	}
	key, err := t.AppendKey(nil, []byte(text))
	if err != nil {
		return Param{}, err
	}
	return Param{Key: string(key), Text: text}, nil
}

// parseText gives PostgreSQL's text of a constant.
func (t *Type) parseText(v any) (string, error) {
	if v == nil {
		return "", fmt.Errorf("null equals nothing in type %s: use is-null", t.Name)
	}
	switch t.Kind {
	case KindBool:
		if b, ok := v.(bool); ok {
			return strconv.FormatBool(b)[:1], nil
		}
		return "", t.mismatch(v, "true or false")
	case KindInt, KindInt8, KindOID:
		return t.parseInteger(v)
	case KindFloat4, KindFloat8:
		return t.parseFloat(v)
	case KindNumeric:
		return t.parseNumeric(v)
	case KindJSONB:
		return t.parseJSONB(v)
	case KindArray:
		return t.parseArray(v)
	case KindInterval:
		if d, ok := v.(time.Duration); ok {
			return formatInterval(interval{micros: d.Microseconds()}), nil
		}
	case KindTimestampTZ:
		if at, ok := v.(time.Time); ok {
			return t.formatTime(at)
		}
	case KindJSON, KindOther:
		return "", t.CheckEquality()
	}
	s, ok := v.(string)
	if !ok {
		return "", t.mismatch(v, t.wants())
	}
	if err := checkText(s); err != nil {
		return "", fmt.Errorf("%s value %s: %w", t.Name, describe(v), err)
	}
	return t.parseString(s)
}

// parseString parses the kinds whose constants are strings.
func (t *Type) parseString(s string) (string, error) {
	switch t.Kind {
	case KindText:
		return t.parseName(s)
	case KindBPChar:
		return s, nil
	case KindEnum:
		if slices.Contains(t.Labels, s) {
			return s, nil
		}
	case KindUUID:
		if id := strings.ToLower(s); isUUID(id) {
			return id, nil
		}
	case KindBytea:
		if b, err := base64.StdEncoding.DecodeString(s); err == nil {
			return `\x` + hex.EncodeToString(b), nil
		}
	case KindNet:
		if text, ok := t.parseNet(s); ok {
			return text, nil
		}
	case KindInterval:
		if v, ok := scanInterval([]byte(s)); ok && v.printable() {
			return formatInterval(v), nil
		}
	default:
		return t.parseTime(s)
	}
	return "", t.mismatch(s, t.wants())
}

// parseName refuses what PostgreSQL would cut short: name to 63 octets, "char"
// to one.
func (t *Type) parseName(s string) (string, error) {
	most := 0
	switch t.Base {
	case oidName:
		most = 63
	case oidChar:
		most = 1
		if len(s) == 1 && s[0] >= utf8.RuneSelf {
			return "", t.mismatch(s, t.wants())
		}
	}
	if most > 0 && len(s) > most {
		return "", t.mismatch(s, fmt.Sprintf("a string of at most %d octets", most))
	}
	return s, nil
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case !isDigit(c) && (c < 'a' || c > 'f'):
			return false
		}
	}
	return true
}

// parseNet gives the text that PostgreSQL prints for an address.
func (t *Type) parseNet(s string) (string, bool) {
	if t.Base == oidMacaddr || t.Base == oidMacaddr8 {
		mac, err := net.ParseMAC(s)
		octets := 6
		if t.Base == oidMacaddr8 {
			octets = 8
		}
		return mac.String(), err == nil && len(mac) == octets
	}
	addr, bits, ok := scanNet(s)
	if !ok || addr.Zone() != "" {
		return "", false
	}
	if t.Base == oidCIDR {
		p, err := addr.Prefix(bits)
		return p.String(), err == nil && p.Addr() == addr
	}
	if bits == addr.BitLen() {
		return addr.String(), true
	}
	return addr.String() + "/" + strconv.Itoa(bits), true
}

// checkText refuses what no PostgreSQL text can hold.
func checkText(s string) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("PostgreSQL text can't hold the character U+0000")
	case !utf8.ValidString(s):
		return fmt.Errorf("not valid UTF-8")
	}
	return nil
}

// wants says what a constant of a string kind looks like.
func (t *Type) wants() string {
	switch t.Kind {
	case KindUUID:
		return `a UUID string such as "6f1c0d0e-3b1a-4a0e-9c1d-2f4b5a6c7d8e"`
	case KindBytea:
		return "a base64 string"
	case KindEnum:
		return "one of " + strings.Join(t.Labels, ", ")
	case KindNet:
		return "an address string"
	case KindDate:
		return `a date string such as "2026-03-01"`
	case KindTimestamp:
		return `a timestamp string without zone such as "2026-03-01T09:00:00"`
	case KindTimestampTZ:
		return `a timestamp string with a zone such as "2026-03-01T09:00:00Z"`
	case KindTime:
		return `a time string such as "09:30:00"`
	case KindTimeTZ:
		return `a time string with a zone such as "09:30:00+02:00"`
	case KindInterval:
		return `an ISO 8601 duration string such as "P1DT2H"`
	}
	return "a string"
}

// mismatch is the error for a constant that is not of the type.
func (t *Type) mismatch(v any, want string) error {
	return fmt.Errorf("type %s needs %s, got %s", t.Name, want, describe(v))
}

// describe names a constant and its JSON type, shortened.
func describe(v any) string {
	const most = 48
	kind := "value"
	switch v.(type) {
	case string:
		kind = "string"
	case bool:
		return fmt.Sprint(v)
	case float64, json.Number, int, int64, uint64:
		kind = "number"
	case []any, []string:
		kind = "list"
	case map[string]any:
		kind = "object"
	default:
		return fmt.Sprintf("a Go %T", v)
	}
	b, err := json.Marshal(v)
	switch {
	case err != nil:
		return kind + " " + fmt.Sprint(v)
	case len(b) > most:
		return kind + " " + strings.ToValidUTF8(string(b[:most]), "") + "..."
	}
	return kind + " " + string(b)
}
