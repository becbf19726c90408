package pgvalue

import "fmt"

// SupportsEquality reports whether ==, !=, in and not-in work on the type.
func (t *Type) SupportsEquality() bool { return t.CheckEquality() == nil }

// SupportsOrder reports whether <, <=, > and >= work on the type.
func (t *Type) SupportsOrder() bool { return t.CheckOrder() == nil }

// SupportsPrefix reports whether starts-with works on the type.
func (t *Type) SupportsPrefix() bool { return t.CheckPrefix() == nil }

// SupportsContains reports whether array-contains works on the type.
func (t *Type) SupportsContains() bool { return t.CheckContains() == nil }

// CheckEquality is nil when the type has an equality that the keys decide,
// else an error for the author of the filter or rule.
func (t *Type) CheckEquality() error {
	switch {
	case t.NondeterministicCollation:
		return fmt.Errorf("type %s compares text by a nondeterministic collation: only is-null works on it; give the column a deterministic collation", t.Name)
	case t.Kind == KindArray:
		if err := t.Elem.CheckEquality(); err != nil {
			return fmt.Errorf("array of %w", err)
		}
	case t.Kind == KindJSON:
		return fmt.Errorf("type %s has no equality: only is-null works on it; use jsonb", t.Name)
	case t.Kind == KindOther:
		return fmt.Errorf("type %s has no comparison here: only is-null works on it", t.Name)
	}
	return nil
}

// CheckKey is nil when the type's values have a key, else an error for whose table's
// key it is part of.
func (t *Type) CheckKey() error {
	switch t.Kind {
	case KindArray:
		return t.Elem.CheckKey()
	case KindJSON, KindOther:
		return fmt.Errorf("type %s has no comparison here: it can't be part of a key", t.Name)
	}
	return nil
}

// CheckOrder is nil when the type's order is that of its keys, else an error
// for the author of the filter or rule.
func (t *Type) CheckOrder() error {
	if err := t.CheckEquality(); err != nil {
		return err
	}
	switch t.Kind {
	case KindJSONB, KindEnum, KindArray, KindNet:
		return fmt.Errorf("type %s is not ordered here: use ==, !=, in or not-in", t.Name)
	case KindOID, KindText:
		if t.Base == oidXID || t.Base == oidCID || t.Base == oidChar {
			return fmt.Errorf("type %s is not ordered here: use ==, !=, in or not-in", t.Name)
		}
	}
	return nil
}

// CheckPrefix is nil for the text types, else an error for the author of the
// filter or rule.
func (t *Type) CheckPrefix() error {
	if err := t.CheckEquality(); err != nil {
		return err
	}
	if t.Kind == KindBPChar || t.Kind == KindText && t.Base != oidChar {
		return nil
	}
	return fmt.Errorf("type %s has no prefix: starts-with works on text, varchar and char(n)", t.Name)
}

// CheckContains is nil for arrays whose elements have an equality, else an
// error for the author of the filter or rule.
func (t *Type) CheckContains() error {
	if t.Kind != KindArray {
		return fmt.Errorf("type %s is not an array: use == or in", t.Name)
	}
	return t.CheckEquality()
}
