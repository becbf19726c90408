package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
)

// The codes of findings that are not cdc's.
const (
	codeConfiguration = "configuration"
	codeDatabase      = "database"
	codeJWKS          = "jwks"
	codeSchedules     = "schedules"
)

// finding is one line of a report.
type finding struct {
	Severity cdc.Severity `json:"severity"`
	Code     string       `json:"code"`
	Subject  string       `json:"subject,omitempty"`
	Message  string       `json:"message"`
	SQL      string       `json:"sql,omitempty"`
	Hint     string       `json:"hint,omitempty"`
	// Where it is in the configuration; zero where it is not about that.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
}

// report is what check found, in the order in which it is best mended.
type report struct {
	file     string
	findings []finding
}

func newReport(file string) *report { return &report{file: file} }

func (r *report) add(f finding) { r.findings = append(r.findings, f) }

// found adds what an inspection has found.
func (r *report) found(f cdc.Finding) {
	r.add(finding{Severity: f.Severity, Code: f.Code, Subject: f.Subject, Message: f.Message, SQL: f.SQL, Hint: f.Hint})
}

// configuration adds what is wrong with the file; a nil err is nothing.
func (r *report) configuration(err error) {
	var list mapping.Errors
	switch {
	case err == nil:
	case errors.As(err, &list):
		for _, e := range list {
			r.add(finding{Severity: cdc.SeverityFatal, Code: codeConfiguration, Subject: e.Path, Message: e.Message,
				Line: e.Line, Column: e.Column})
		}
	default:
		r.add(finding{Severity: cdc.SeverityFatal, Code: codeConfiguration, Message: err.Error()})
	}
}

func (r *report) count(severity cdc.Severity) int {
	n := 0
	for _, f := range r.findings {
		if f.Severity == severity {
			n++
		}
	}
	return n
}

func severities() []cdc.Severity {
	return []cdc.Severity{cdc.SeverityFatal, cdc.SeverityWarning, cdc.SeverityInfo, cdc.SeverityOK}
}

// writeText prints the report for people: the worst first.
func (r *report) writeText(out io.Writer) error {
	var b strings.Builder
	var totals []string
	for _, severity := range severities() {
		for _, f := range r.findings {
			if f.Severity == severity {
				r.describe(&b, f)
			}
		}
		totals = append(totals, fmt.Sprintf("%d %s", r.count(severity), severity))
	}
	fmt.Fprintf(&b, "\n%s: %s\n", r.file, strings.Join(totals, ", "))
	_, err := io.WriteString(out, b.String())
	return err
}

// describe writes one finding. SQL stands alone on its lines, to be copied.
func (r *report) describe(b *strings.Builder, f finding) {
	fmt.Fprintf(b, "%-8s ", f.Severity)
	if f.Line > 0 {
		fmt.Fprintf(b, "%s:%d:%d: ", r.file, f.Line, f.Column)
	}
	if f.Subject != "" {
		b.WriteString(f.Subject + ": ")
	}
	b.WriteString(f.Message + "\n")
	if f.Hint != "" {
		fmt.Fprintf(b, "%9s%s\n", "", f.Hint)
	}
	for line := range strings.Lines(f.SQL) {
		fmt.Fprintf(b, "%13s%s\n", "", strings.TrimSuffix(line, "\n"))
	}
}

// writeJSON prints the report for programs.
func (r *report) writeJSON(out io.Writer) error {
	summary := make(map[cdc.Severity]int)
	for _, severity := range severities() {
		summary[severity] = r.count(severity)
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false) // SQL is for reading
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Config   string               `json:"config"`
		Findings []finding            `json:"findings"`
		Summary  map[cdc.Severity]int `json:"summary"`
	}{r.file, append([]finding{}, r.findings...), summary})
}
