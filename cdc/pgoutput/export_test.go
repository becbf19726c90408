package pgoutput

// Lenient reports whether e refuses something that a parser which does not check
// may well read: bytes behind the end, a byte without a meaning, or a string
// without its end.
func (e *FormatError) Lenient() bool {
	switch e.problem {
	case problemTrailing, problemUnknown:
		return true
	case problemUnterminated:
		return e.Message == TypeMessage
	}
	return false
}

const (
	ChunkSize = chunkSize
	OwnSize   = ownSize
)
