package predicate

// FilterCode tells the ways in which a filter is refused.
type FilterCode string

// The codes of a FilterError.
const (
	FilterInvalid  FilterCode = "invalid"   // malformed, or a value or operator that doesn't fit the column
	FilterTooLarge FilterCode = "too_large" // beyond Limits
	FilterColumn   FilterCode = "column"    // the resolver refused the column; Unwrap gives its error
)

// FilterError says which condition of a filter is wrong and why. Its message is
// for the author of the filter.
type FilterError struct {
	Path string // such as where[2].or[0]
	Code FilterCode
	Err  error
}

func (e *FilterError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap gives the cause.
func (e *FilterError) Unwrap() error { return e.Err }
