package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// request is a client's frame: the members of all types.
type request struct {
	Type    string          `json:"type"`
	ID      uint64          `json:"id"`
	Token   string          `json:"token"`
	Company string          `json:"company"`
	Query   json.RawMessage `json:"query"`
	Events  *clientEvents   `json:"events"`
	Resume  *struct {
		Cursor string `json:"cursor"`
		Token  string `json:"token"`
	} `json:"resume"`
	LSN       string `json:"lsn"`
	TimeoutMS *int64 `json:"timeout_ms"`
}

// parseRequest reads a frame strictly: a misspelt member is an error.
func parseRequest(frame []byte) (*request, *Error) {
	var r request
	return &r, decodeStrictly("frame", frame, &r)
}

// decodeStrictly reads what a client sent, a frame or a body.
func decodeStrictly(what string, data []byte, into any) *Error {
	if !utf8.Valid(data) {
		return errorf(CodeInvalidArgument, "the %s is not valid UTF-8", what)
	}
	if err := checkMembers(data); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return errorf(CodeInvalidArgument, "the %s is not a JSON object of the protocol: %s", what, jsonProblem(err))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errorf(CodeInvalidArgument, "the %s holds more than one JSON value: send one", what)
	}
	return nil
}

// checkMembers refuses what encoding/json lets pass: a member that is written
// twice, or in other letters than the protocol's. What is no object at all is left to
// the decoder.
func checkMembers(object []byte) *Error {
	d := json.NewDecoder(bytes.NewReader(object))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return nil
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return nil
		}
		if seen[name] {
			return errorf(CodeInvalidArgument, "the member %q stands twice", name)
		}
		seen[name] = true
		if right := spelling(name); right != name {
			return errorf(CodeInvalidArgument, "unknown member %q: names are written as in the protocol, such as %q", name, right)
		}
		if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
			return errorf(CodeInvalidArgument, "unknown member %q", name) // encoding/json takes a long s for an s
		}
		var inner json.RawMessage
		if d.Decode(&inner) != nil {
			return nil
		}
		if name == "resume" || name == "events" {
			if err := checkMembers(inner); err != nil {
				return err
			}
		}
	}
	return nil
}

// spelling is a member's name as the protocol writes it: in lower case, but for these.
func spelling(name string) string {
	for _, mixed := range [...]string{"orderBy", "limitToLast", "startAt", "startAfter", "endAt", "endBefore"} {
		if strings.EqualFold(name, mixed) {
			return mixed
		}
	}
	return strings.ToLower(name)
}

// jsonProblem words a decoding error without Go's names.
func jsonProblem(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("%s at offset %d", syntax.Error(), syntax.Offset)
	case errors.As(err, &kind) && kind.Field == "":
		return "it is a JSON " + kind.Value
	case errors.As(err, &kind):
		return fmt.Sprintf("%q can't be a JSON %s", kind.Field, kind.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "it ends too early"
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
