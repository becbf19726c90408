package pgoutput

import "fmt"

// MessageType is the first byte of a message. The zero value is no message.
type MessageType byte

// The messages of protocol version 1.
const (
	TypeBegin    MessageType = 'B'
	TypeCommit   MessageType = 'C'
	TypeOrigin   MessageType = 'O'
	TypeRelation MessageType = 'R'
	TypeType     MessageType = 'Y'
	TypeInsert   MessageType = 'I'
	TypeUpdate   MessageType = 'U'
	TypeDelete   MessageType = 'D'
	TypeTruncate MessageType = 'T'
	TypeMessage  MessageType = 'M'
)

// String returns the manual's name of the message.
func (t MessageType) String() string {
	switch t {
	case TypeBegin:
		return "Begin"
	case TypeCommit:
		return "Commit"
	case TypeOrigin:
		return "Origin"
	case TypeRelation:
		return "Relation"
	case TypeType:
		return "Type"
	case TypeInsert:
		return "Insert"
	case TypeUpdate:
		return "Update"
	case TypeDelete:
		return "Delete"
	case TypeTruncate:
		return "Truncate"
	case TypeMessage:
		return "Message"
	case 0:
		return "empty"
	default:
		return fmt.Sprintf("unknown (%q)", byte(t))
	}
}
