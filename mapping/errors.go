package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Position is a place in the configuration file. Lines and columns start at 1
// and columns count characters. The zero Position is "unknown".
type Position struct{ Line, Column int }

// Error is one finding about a configuration: where, what, and what to do.
type Error struct {
	File string
	Position
	// Path names the setting, as in tables.appointments.roles.staff.rows.
	Path    string
	Message string
}

// Error gives file:line:column: path: message, without the parts not known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	b.WriteString(e.Message)
	return b.String()
}

// Errors are all the findings about one configuration, in the order of the file.
type Errors []*Error

// Error gives one finding a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each finding, for errors.As.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, err := range e {
		out[i] = err
	}
	return out
}

// problems collects findings, so that an admin sees all of them at once.
type problems struct {
	file string
	list Errors
}

func (p *problems) add(at Position, path, format string, args ...any) {
	p.list = append(p.list, &Error{File: p.file, Position: at, Path: path, Message: fmt.Sprintf(format, args...)})
}

// err gives the findings as an Errors, or nil when there are none.
func (p *problems) err() error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p.list
}
