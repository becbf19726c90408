// Package predicate holds the one type of predicate that client filters and
// access rules become, and its two compilers: Eval decides a row of the
// replication stream, AppendSQL selects the same rows in a snapshot. Package
// pgvalue's keys make both agree; TestOracle holds them against PostgreSQL for
// every type, operator and NULL.
//
// # Three truth values in two
//
// SQL's NULL is neither true nor false, and NOT NULL is NULL. A Node has no NOT:
// Negate pushes it down to the leaves, each of which has its complement. There
// a NULL column makes the leaf false, and so does its complement. Without NOT
// above them, AND and OR of such leaves are true exactly where SQL's are.
//
// # Building
//
// Compare is the way to make a leaf: it checks that the column's type has the
// operator and that the constants are of the type. ParseWhere does so for a
// client's JSON within Limits, package mapping for access rules. All, Any and
// Negate put them together and dissolve constants. Nodes are immutable and
// safe for concurrent use.
//
// # Evaluating
//
// A Row belongs to one goroutine and is Reset to each new row. It makes the key
// of a column when a predicate first asks for it, and keeps it for all others
// that are evaluated on that row. A value that can't be read is an error, so
// that a row is never silently left out or kept.
//
// # SQL
//
// Parameters are PostgreSQL text with a cast to the column's type. Equality is
// plain =, which any index on the column serves; order, and the range that
// starts-with becomes, are under COLLATE "C" and want an index of it.
//
// # Order
//
// An Order has the same two sides: AppendSQL sorts a snapshot, AppendKey gives a
// row's place as octets. It ends with the table's key, so that it is total and
// equal keys are the same row. A Bound of it is a predicate like any other.
//
// # Finding predicates
//
// Anchors names the keys and ranges by which an index finds the predicates that
// a row may satisfy, without a look at the others. It may admit too many rows,
// never too few. The Checks that stand beside the anchors decide most of those rows by
// the heads of keys, which are their first eight octets; Eval is asked where they tell too
// little.
package predicate
