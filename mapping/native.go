package mapping

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// native turns a value of CEL into one that pgvalue parses.
func native(v ref.Val) (any, bool) {
	switch v := v.(type) {
	case types.String:
		return string(v), true
	case types.Int:
		return int64(v), true
	case types.Uint:
		return uint64(v), true
	case types.Double:
		return float64(v), true
	case types.Bool:
		return bool(v), true
	case types.Null:
		return nil, true
	case types.Bytes:
		return base64.StdEncoding.EncodeToString(v), true
	case types.Timestamp:
		return v.Time, true
	case types.Duration:
		return v.Duration, true
	case traits.Mapper:
		return nativeMap(v)
	case traits.Lister:
		return nativeList(v)
	}
	return nil, false
}

func nativeList(list traits.Lister) (any, bool) {
	var out []any
	for it := list.Iterator(); it.HasNext() == types.True; {
		item, ok := native(it.Next())
		if !ok {
			return nil, false
		}
		out = append(out, item)
	}
	return out, true
}

func nativeMap(m traits.Mapper) (any, bool) {
	out := make(map[string]any)
	for it := m.Iterator(); it.HasNext() == types.True; {
		key := it.Next()
		name, isString := key.(types.String)
		item, ok := native(m.Get(key))
		if !ok || !isString {
			return nil, false
		}
		out[string(name)] = item
	}
	return out, true
}

// fit turns a value into the form that its column's type parses: tokens carry
// numbers as text (`sub` always is), and CEL has one kind of timestamp.
func fit(t *pgvalue.Type, v any) any {
	switch v := v.(type) {
	case string:
		if isIntegerKind(t.Kind) && isCanonicalInteger(v) {
			return json.Number(v)
		}
	case time.Time:
		switch t.Kind {
		case pgvalue.KindTimestampTZ:
		case pgvalue.KindTimestamp:
			return v.UTC().Round(time.Microsecond).Format("2006-01-02T15:04:05.999999")
		default:
			return v.Format(time.RFC3339Nano) // no type takes it; the error shows it
		}
	case []any:
		if t.Kind != pgvalue.KindArray {
			return v
		}
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = fit(t.Elem, item)
		}
		return out
	}
	return v
}

// asList gives the items of a list, none of them null.
func asList(v any) ([]any, bool) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if item == nil {
				return nil, false
			}
		}
		return v, true
	case []string:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = item
		}
		return out, true
	}
	return nil, false
}

func isIntegerKind(k pgvalue.Kind) bool {
	return k == pgvalue.KindInt || k == pgvalue.KindInt8 || k == pgvalue.KindOID
}

// isCanonicalInteger accepts an integer as it is printed, so that no two texts
// are the same number.
func isCanonicalInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || digits[0] == '0' && s != "0" {
		return false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return false
		}
	}
	return true
}
