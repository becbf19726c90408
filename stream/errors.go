package stream

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Code is one of the error codes that clients see.
type Code string

// The codes, as docs/protocol.md lists them.
const (
	CodeInvalidArgument    Code = "invalid-argument"
	CodeUnauthenticated    Code = "unauthenticated"
	CodePermissionDenied   Code = "permission-denied"
	CodeNotFound           Code = "not-found"
	CodeFailedPrecondition Code = "failed-precondition"
	CodeResourceExhausted  Code = "resource-exhausted"
	CodeDeadlineExceeded   Code = "deadline-exceeded"
	CodeUnavailable        Code = "unavailable"
	CodeInternal           Code = "internal"
)

// HTTPStatus is the status of an HTTP answer with this code.
func (c Code) HTTPStatus() int {
	switch c {
	case CodeInvalidArgument:
		return http.StatusBadRequest
	case CodeUnauthenticated:
		return http.StatusUnauthorized
	case CodePermissionDenied:
		return http.StatusForbidden
	case CodeNotFound:
		return http.StatusNotFound
	case CodeFailedPrecondition:
		return http.StatusConflict
	case CodeResourceExhausted:
		return http.StatusTooManyRequests
	case CodeDeadlineExceeded:
		return http.StatusGatewayTimeout
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// Error is what a client is told: a code to branch on and a message to read.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`

	after time.Duration // it may be otherwise then; zero: not said
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

func errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// clientError is what the client may know of err: an Error as it is, anything
// else only as internal.
func clientError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Code: CodeInternal, Message: "the server met a fault; its log says more"}
}
