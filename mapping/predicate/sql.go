package predicate

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/walwire/walwire/cdc/pgvalue"
)

// AppendSQL appends the predicate as a boolean SQL expression over the columns
// of a table and its parameters to args, numbered on from len(args). Every
// parameter is a string in PostgreSQL's text format. A row qualifies where the
// expression is true (not NULL).
func (n *Node) AppendSQL(dst []byte, args []any, columns []Column) ([]byte, []any) {
	w := sqlWriter{dst: dst, args: args, columns: columns}
	w.node(n)
	return w.dst, w.args
}

// sqlWriter collects the text and the parameters.
type sqlWriter struct {
	dst     []byte
	args    []any
	columns []Column
}

func (w *sqlWriter) text(s string) { w.dst = append(w.dst, s...) }

func (w *sqlWriter) node(n *Node) {
	switch n.Kind {
	case True:
		w.text("TRUE")
	case And:
		w.join(n.Children, " AND ", "TRUE")
	case Or:
		w.join(n.Children, " OR ", "FALSE")
	case Leaf:
		w.leaf(n, w.columns[n.Column])
	default:
		w.text("FALSE")
	}
}

func (w *sqlWriter) join(children []*Node, separator, empty string) {
	if len(children) == 0 {
		w.text(empty)
		return
	}
	w.text("(")
	for i, c := range children {
		if i > 0 {
			w.text(separator)
		}
		w.node(c)
	}
	w.text(")")
}

func (w *sqlWriter) leaf(n *Node, col Column) {
	name := QuoteIdentifier(col.Name)
	switch n.Op {
	case Eq:
		w.compare(arrayColumn(name, col.Type), " = ", col.Type, n.Params[0].Text)
	case Ne:
		w.compare(arrayColumn(name, col.Type), " <> ", col.Type, n.Params[0].Text)
	case Lt, Le, Gt, Ge:
		w.text(ordered(name, col.Type) + " " + n.Op.String() + " ")
		w.param(n.Params[0].Text, orderedType(col.Type))
	case In:
		w.oneOf(n, name, col.Type, " = ANY (", " = ", " OR ")
	case NotIn:
		w.oneOf(n, name, col.Type, " <> ALL (", " <> ", " AND ")
	case IsNull:
		w.text(name + isNull(col.Type))
	case IsNotNull:
		w.text(name + isNotNull(col.Type))
	case StartsWith:
		w.prefix(name, n.Params[0].Text)
	case NotStartsWith:
		w.text("NOT ")
		w.prefix(name, n.Params[0].Text)
	default:
		w.contains(n, name, col.Type)
	}
}

// isNull asks for the value itself: IS NULL of a composite one would ask for its fields.
func isNull(t *pgvalue.Type) string {
	if t.Kind == pgvalue.KindOther {
		return " IS NOT DISTINCT FROM NULL"
	}
	return " IS NULL"
}

func isNotNull(t *pgvalue.Type) string {
	if t.Kind == pgvalue.KindOther {
		return " IS DISTINCT FROM NULL"
	}
	return " IS NOT NULL"
}

func (w *sqlWriter) compare(left, operator string, t *pgvalue.Type, text string) {
	w.text(left + operator)
	w.param(text, t.Name)
}

// param appends a parameter with its cast.
func (w *sqlWriter) param(text, typeName string) {
	w.args = append(w.args, text)
	w.text("$" + strconv.Itoa(len(w.args)) + "::" + typeName)
}

// ordered gives the column as the keys order it.
func ordered(name string, t *pgvalue.Type) string {
	switch t.Kind {
	case pgvalue.KindText, pgvalue.KindBPChar:
		return name + ` COLLATE "C"`
	case pgvalue.KindEnum: // only in the bounds of an Order that ends with one
		return name + `::text COLLATE "C"`
	}
	return name
}

// orderedType gives the type of what ordered gives.
func orderedType(t *pgvalue.Type) string {
	if t.Kind == pgvalue.KindEnum {
		return "text"
	}
	return t.Name
}

// oneOf compares with each of a set of values: as one array parameter, which an
// index can serve, or one by one where the values are arrays themselves.
func (w *sqlWriter) oneOf(n *Node, name string, t *pgvalue.Type, array, single, join string) {
	if t.Kind != pgvalue.KindArray && len(n.Params) > 0 {
		w.text(name + array)
		w.param(arrayText(n.Params), t.Name+"[]")
		w.text(")")
		return
	}
	if len(n.Params) == 0 {
		if n.Op == In {
			w.text("FALSE")
		} else {
			w.text(name + " IS NOT NULL")
		}
		return
	}
	w.text("(")
	for i, p := range n.Params {
		if i > 0 {
			w.text(join)
		}
		w.compare(arrayColumn(name, t), single, t, p.Text)
	}
	w.text(")")
}

// contains appends the containment operators. The elements of a constant are
// cast to the base type, since a domain could refuse them.
func (w *sqlWriter) contains(n *Node, name string, t *pgvalue.Type) {
	operator := " @> "
	if n.Op == ArrayContainsAny || n.Op == NotArrayContainsAny {
		operator = " && "
	}
	negated := n.Op == NotArrayContains || n.Op == NotArrayContainsAny
	if negated {
		w.text("NOT (")
	}
	w.compare(arrayColumn(name, t), operator, t, t.ArrayText(n.Params))
	if negated {
		w.text(")")
	}
}

// prefix appends a range of text from the prefix to the first text after all
// that start with it: both ends can use an index under COLLATE "C". The cast
// drops the padding of char(n), as the keys do.
func (w *sqlWriter) prefix(name, prefix string) {
	left := name + `::text COLLATE "C"`
	w.text("(" + left + " >= ")
	w.param(prefix, "text")
	if end, ok := prefixEnd(prefix); ok {
		w.text(" AND " + left + " < ")
		w.param(end, "text")
	}
	w.text(")")
}

// prefixEnd gives the least valid UTF-8 text that is greater than every text
// with the prefix, if there is one.
func prefixEnd(prefix string) (string, bool) {
	for prefix != "" {
		r, size := utf8.DecodeLastRuneInString(prefix)
		prefix = prefix[:len(prefix)-size]
		if r == 0xD7FF { // the surrogates follow, which are no characters
			return prefix + "\uE000", true
		}
		if r < utf8.MaxRune {
			return prefix + string(r+1), true
		}
	}
	return "", false
}

// arrayText gives the text of an array of the parameters.
func arrayText(params []pgvalue.Param) string {
	var t pgvalue.Type
	return t.ArrayText(params)
}

// QuoteIdentifier quotes a name for use in SQL, always with quotes.
func QuoteIdentifier(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// arrayColumn gives the column as an array of t.Name, which an array of a
// domain's values is not.
func arrayColumn(name string, t *pgvalue.Type) string {
	if t.Elem != nil && t.Elem.IsDomain() {
		return name + "::" + t.Name
	}
	return name
}
