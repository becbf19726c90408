package pgvalue

// Setting is one run-time parameter of a session.
type Setting struct{ Name, Value string }

// Settings returns the parameters that every session whose text output this
// package reads must have: the walsender's and the snapshots'. The order is
// fixed.
func Settings() []Setting {
	return []Setting{
		{"DateStyle", "ISO, YMD"},
		{"TimeZone", "UTC"},
		{"IntervalStyle", "iso_8601"},
		{"extra_float_digits", "3"}, // shortest text that gives the same float
		{"bytea_output", "hex"},
		{"lc_monetary", "C"},
		{"search_path", ""},
		{"client_encoding", "UTF8"},
	}
}
