package pgvalue

// Kind groups PostgreSQL types that share a text format, an order and a JSON form.
type Kind uint8

// The kinds. Domains carry the kind of their base type. KindOther is a type
// whose text is shown as a JSON string and that supports only IS NULL.
const (
	KindOther Kind = iota
	KindBool
	KindInt    // int2, int4: JSON number
	KindInt8   // int8: JSON string
	KindOID    // oid, xid, cid: JSON number
	KindFloat4 // JSON number, or the strings "NaN", "Infinity", "-Infinity"
	KindFloat8
	KindNumeric // JSON string
	KindText    // text, varchar, name, "char"
	KindBPChar  // char(n): padded on the wire, compared without the padding
	KindUUID
	KindBytea
	KindDate
	KindTimestamp
	KindTimestampTZ
	KindTime
	KindTimeTZ
	KindInterval
	KindJSON  // no equality operator
	KindJSONB // equality, no order offered
	KindEnum  // equality; ordered operators are refused
	KindArray // equality and containment when the element has equality
	KindNet   // inet, cidr, macaddr, macaddr8: equality by canonical text
)

// Type is one PostgreSQL type as walwire needs to know it. Immutable.
type Type struct {
	OID  uint32 // OID of the type itself; for a domain the domain's OID
	Base uint32 // OID after following domains; equals OID otherwise
	Name string // format_type of Base, schema-qualified where needed: usable in a SQL cast
	Kind Kind
	Elem *Type // element type of KindArray, nil otherwise
	// NondeterministicCollation is set when equality is not byte equality
	// (also for citext); such columns support only IS NULL.
	NondeterministicCollation bool
	// Labels are the labels of KindEnum in their order. A constant outside
	// them is refused, since PostgreSQL would refuse it too.
	Labels []string

	delim byte // separates the elements of KindArray; zero means a comma
}

// WithCollation returns t as a column's own collation makes it: the collation
// of the column (pg_attribute.attcollation) overrides that of its type, also
// for the elements of an array. deterministic is pg_collation.collisdeterministic
// and true for columns without collation. citext stays as it is.
func (t *Type) WithCollation(deterministic bool) *Type {
	nondeterministic := !deterministic || t.isCitext()
	var elem *Type
	if t.Elem != nil {
		elem = t.Elem.WithCollation(deterministic)
		nondeterministic = nondeterministic || elem.NondeterministicCollation
	}
	if nondeterministic == t.NondeterministicCollation && elem == t.Elem {
		return t
	}
	c := *t
	c.NondeterministicCollation, c.Elem = nondeterministic, elem
	return &c
}

// isCitext: citext is the one text type whose OID is not fixed.
func (t *Type) isCitext() bool {
	return t.Kind == KindText && t.Base >= firstUserOID
}

// IsDomain reports whether the type is a domain over another.
func (t *Type) IsDomain() bool { return t.OID != t.Base }
