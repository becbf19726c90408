package auth

// CodeUnauthenticated is the code of every refusal.
const CodeUnauthenticated = "unauthenticated"

// Error is why a token was refused. Code and Message are for the client and
// repeat nothing of the token; Err is the cause, for logs, and may be nil.
type Error struct {
	Code    string
	Message string
	Err     error
}

// Error gives the message and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Message
	}
	return e.Message + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func refuse(message string, cause error) *Error {
	return &Error{Code: CodeUnauthenticated, Message: message, Err: cause}
}
