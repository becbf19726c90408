// Package pgvalue is what walwire knows of PostgreSQL's types: how a value in
// PostgreSQL's text format compares, what it looks like on the wire, and which
// constants it can be compared with.
//
// # Input
//
// Every value is the text that the type's output function prints in a session
// with Settings, be it a column of pgoutput or of a SELECT in text format. The
// database's encoding is UTF8. Text of another form is an error that names the
// type: it means other settings or a type that has changed, never "no match".
//
// # Keys
//
// AppendKey turns text into octets that are equal exactly where PostgreSQL's =
// is true and that bytes.Compare orders as PostgreSQL's < does, text under
// COLLATE "C". Index and evaluator share these keys. In particular:
//
//   - -0 = 0, and NaN = NaN is the greatest, for float4, float8 and numeric;
//   - numeric is a class, an exponent and digits, so that 1.0 = 1.00 and any
//     precision orders; its infinities have classes of their own;
//   - char(n) drops the padding, text and varchar keep every space;
//   - an interval is a span in which a month has 30 days and a day 24 hours;
//   - timetz orders by the instant, then by the zone;
//   - in jsonb every number has one form, at any depth: 1.0 = 1.00;
//   - an array is its lower bounds, its nesting and its elements' keys, where a
//     NULL equals a NULL.
//
// Where the key is a part of the text, Key gives it without a copy.
//
// What a type can't do is refused by CheckEquality, CheckOrder, CheckPrefix and
// CheckContains, with an error for the author of a filter: text under a
// nondeterministic collation and citext have no equality by octets, json has
// none at all, and enum, jsonb, arrays and addresses are offered no order (an
// enum's depends on its definition, jsonb's is of no use to a person).
//
// # JSON
//
// AppendJSON writes the wire form; docs/protocol.md has the table. int8 and
// numeric are strings, since a JavaScript number would round them. Timestamps
// have six decimals and, with a zone, Z. Years other than 0..9999 have a sign
// and at least six digits and are astronomical, as ECMAScript has them: 44 BC
// is -000043. Intervals are ISO 8601 durations, as IntervalStyle iso_8601
// prints them. bytea is base64. char(n) keeps its padding. jsonb is passed on
// as it is, json brought onto one line. An array's lower bounds are not shown.
//
// # Constants
//
// Parse is strict and takes the forms of AppendJSON: a string is no int4, a
// timestamptz needs a zone. What PostgreSQL would refuse or cut short is
// refused first, so that no filter can make a snapshot's SELECT fail.
//
// # Cost
//
// AppendJSON, AppendKey and Key run once for each changed column. They don't
// allocate into memory that is large enough, except for arrays whose elements
// PostgreSQL escaped. Types are immutable and safe for concurrent use.
package pgvalue
