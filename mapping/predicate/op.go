package predicate

// spellings are the operators as filters write them.
func spellings() map[string]Op {
	return map[string]Op{
		"==": Eq, "!=": Ne, "<": Lt, "<=": Le, ">": Gt, ">=": Ge,
		"in": In, "not-in": NotIn,
		"array-contains":     ArrayContains,
		"array-contains-any": ArrayContainsAny,
		"is-null":            IsNull,
		"starts-with":        StartsWith,
	}
}

// ParseOp reads an operator as filters write it.
func ParseOp(s string) (Op, bool) {
	op, ok := spellings()[s]
	return op, ok
}

// String gives the operator as filters write it; a complement without a
// spelling of its own is "not " and the operator.
func (op Op) String() string {
	for s, o := range spellings() {
		if o == op {
			return s
		}
	}
	if c := op.Complement(); c != 0 && op != c {
		for s, o := range spellings() {
			if o == c {
				return "not " + s
			}
		}
	}
	return "unknown operator"
}

// Complement gives the operator that is true where op is false, NULL apart.
func (op Op) Complement() Op {
	switch op {
	case Eq:
		return Ne
	case Ne:
		return Eq
	case Lt:
		return Ge
	case Ge:
		return Lt
	case Gt:
		return Le
	case Le:
		return Gt
	case In:
		return NotIn
	case NotIn:
		return In
	}
	return op.complementOfOthers()
}

func (op Op) complementOfOthers() Op {
	switch op {
	case ArrayContains:
		return NotArrayContains
	case NotArrayContains:
		return ArrayContains
	case ArrayContainsAny:
		return NotArrayContainsAny
	case NotArrayContainsAny:
		return ArrayContainsAny
	case IsNull:
		return IsNotNull
	case IsNotNull:
		return IsNull
	case StartsWith:
		return NotStartsWith
	case NotStartsWith:
		return StartsWith
	}
	return 0
}
