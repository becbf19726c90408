package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

func (in *inspection) tablesExist(ctx context.Context) ([]Finding, error) {
	c, err := loadCatalog(ctx, in.q, in.opts.Tables)
	if err != nil {
		return nil, err
	}
	in.catalog = c
	var findings []Finding
	for _, err := range c.errs {
		f := Finding{Severity: SeverityFatal, Code: CodeTable, Message: err.Error()}
		var te *TableError
		if errors.As(err, &te) {
			f.Subject, f.SQL = te.Table.String(), te.SQL
		}
		if te != nil && te.Reason == TableMissing {
			f.Hint = "Create the table, or correct its name in the config."
		}
		findings = append(findings, f)
	}
	return findings, nil
}

func (in *inspection) columnsExist(context.Context) ([]Finding, error) {
	var findings []Finding
	missing := func(t *Table, code, column, role, hint string) {
		if _, ok := t.Column(column); ok || column == "" {
			return
		}
		f := Finding{Severity: SeverityFatal, Code: code, Subject: t.String() + "." + quoteIdent(column),
			Message: fmt.Sprintf("table %s has no column %s, which the config names%s", t.TableName, quoteIdent(column), role), Hint: hint}
		if near := t.nearColumn(column); near != "" {
			f.Message += fmt.Sprintf("; did you mean %s?", quoteIdent(near))
		}
		findings = append(findings, f)
	}
	for _, t := range in.tables() {
		missing(t, CodeCompanyColumn, in.opts.CompanyColumns[t.TableName], " as its company column",
			"Every mapped table needs a column of its own that says whose row it is: add it and fill it, or leave the table out.")
		for _, column := range in.opts.Columns[t.TableName] {
			missing(t, CodeColumnMissing, column, "", "Correct the name in the config, or add the column.")
		}
	}
	return findings, nil
}

// nearColumn finds a column of the same name in other case, or with the same
// beginning or end.
func (t *Table) nearColumn(name string) string {
	lower := strings.ToLower(name)
	stem := lower[:max(len(lower)-2, 1)]
	for _, near := range []func(string) bool{
		func(c string) bool { return c == lower },
		func(c string) bool { return strings.HasPrefix(c, stem) || strings.HasSuffix(c, lower) },
		func(c string) bool { return len(c) > 3 && strings.HasPrefix(lower, c) },
	} {
		for _, c := range t.Columns {
			if near(strings.ToLower(c.Name)) {
				return c.Name
			}
		}
	}
	return ""
}

func (in *inspection) keys(context.Context) ([]Finding, error) {
	var findings []Finding
	for _, t := range in.tables() {
		if len(t.Key) == 0 {
			findings = append(findings, in.catalog.raws[t.TableName].keyFinding(t))
		}
	}
	return findings, nil
}

// generatedColumns names the columns that nobody gets to see.
func (in *inspection) generatedColumns(ctx context.Context) ([]Finding, error) {
	var findings []Finding
	for _, t := range in.tables() {
		var names []string
		for _, c := range t.Columns {
			if c.Generated {
				names = append(names, c.Name)
			}
		}
		if len(names) > 0 {
			findings = append(findings, Finding{Severity: SeverityInfo, Code: CodeGenerated, Subject: t.String(),
				Message: fmt.Sprintf("generated columns of table %s are left out of rows, filters and rules: %s", t.TableName, quoteList(names))})
		}
	}
	if len(findings) == 0 {
		return nil, nil
	}
	state, err := readPublication(ctx, in.q, in.opts.Publication)
	if err == nil && state != nil && state.Generated == "s" {
		for i := range findings {
			findings[i].Hint = fmt.Sprintf("Publication %s sends those that are stored, as PostgreSQL asks for under REPLICA IDENTITY FULL; "+
				"walwire passes over them.", quoteIdent(state.Name))
		}
	}
	return findings, err
}

// keyFinding says how to come by a key: by the index that is closest to one.
func (r *rawRelation) keyFinding(t *Table) Finding {
	f := Finding{Severity: SeverityFatal, Code: CodeKeyMissing, Subject: t.String()}
	candidate := r.almostKey()
	if candidate == nil {
		f.Message = fmt.Sprintf("table %s has no primary key and no unique index: walwire can't tell its rows apart", t.TableName)
		f.SQL = statements(fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
			t.TableName, quoteIdent(t.unusedColumn("id"))))
		f.Hint = "This rewrites the table and blocks it meanwhile. Better: make a primary key of columns that name a row already."
		if t.Partitioned {
			f.SQL, f.Hint = "", "Add a primary key; it must include the columns of the partition key."
		}
		return f
	}
	var list, columns []string
	for _, num := range candidate.Columns {
		c := r.Columns[r.ordinal(num)]
		columns = append(columns, c.Name)
		if !c.NotNull {
			list = append(list, fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s SET NOT NULL", t.TableName, quoteIdent(c.Name)))
		}
	}
	f.Message = fmt.Sprintf("table %s has no key: its unique index %s allows NULL", t.TableName, quoteIdent(candidate.Name))
	f.Hint = "Rows with NULL there must get a value first."
	if !candidate.Immediate {
		f.Code = CodeKeyDeferrable
		f.Message = fmt.Sprintf("table %s has only a deferrable key, %s: within one statement two rows can share it, "+
			"and changes applied in turn would hit the wrong row", t.TableName, quoteIdent(candidate.Name))
		concurrently := " CONCURRENTLY"
		if t.Partitioned {
			concurrently = ""
		}
		list = append(list, fmt.Sprintf("CREATE UNIQUE INDEX%s ON %s (%s)", concurrently, t.TableName, quoteList(columns)))
		f.Hint = "This adds an index that is checked at every row beside the constraint. A statement that relies on deferral, such as id = id + 1, then fails."
	}
	f.SQL = statements(list...)
	return f
}

// almostKey finds a unique index that lacks only NOT NULL or immediacy.
func (r *rawRelation) almostKey() *rawIndex {
	var best *rawIndex
	for i := range r.Indexes {
		x := &r.Indexes[i]
		plain := x.Valid && !x.Partial && !x.Expressions && !slices.ContainsFunc(x.Columns, func(num int16) bool {
			o := r.ordinal(num)
			return o < 0 || r.Columns[o].Generated
		})
		if plain && (best == nil || x.Immediate && !best.Immediate || x.Immediate == best.Immediate && x.better(best)) {
			best = x
		}
	}
	return best
}

func (t *Table) unusedColumn(name string) string {
	for {
		if _, taken := t.Column(name); !taken {
			return name
		}
		name = "walwire_" + name
	}
}
