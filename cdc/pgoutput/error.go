package pgoutput

import "fmt"

// FormatError says where a message stops being one of protocol version 1.
type FormatError struct {
	Message MessageType // its first byte, known or not; 0 if there is none
	Field   string      // such as "old tuple column 3", counted from 0
	Offset  int         // of the field, in octets from the message's first byte
	// RelationOID is the relation of an Insert, Update or Delete where it was
	// read before the error, else 0.
	RelationOID uint32

	problem problem
	value   int64 // what the field claims; its meaning depends on problem
	left    int   // octets from Offset to the message's end
}

type problem uint8

const (
	problemShort        problem = iota + 1 // value octets are needed
	problemCount                           // value elements are claimed
	problemNegative                        // value is a length
	problemUnterminated                    // a string without its NUL
	problemUnknown                         // value is a byte without a meaning here
	problemTrailing                        // left octets follow the message
	problemOversize                        // the source has value octets
)

// Error describes the error in one line.
func (e *FormatError) Error() string {
	return fmt.Sprintf("decode %s message: %s at byte %d: %s", e.Message, e.Field, e.Offset, e.reason())
}

func (e *FormatError) reason() string {
	switch e.problem {
	case problemShort:
		return fmt.Sprintf("needs %d bytes, %d left", e.value, e.left)
	case problemCount:
		return fmt.Sprintf("count %d does not fit into the %d bytes left", e.value, e.left)
	case problemNegative:
		return fmt.Sprintf("negative length %d", e.value)
	case problemUnterminated:
		return fmt.Sprintf("no NUL in the %d bytes left", e.left)
	case problemUnknown:
		return fmt.Sprintf("unknown value %q", byte(e.value))
	case problemTrailing:
		return fmt.Sprintf("%d unexpected bytes", e.left)
	case problemOversize:
		return fmt.Sprintf("%d bytes are more than a message can have", e.value)
	default:
		return "malformed"
	}
}
