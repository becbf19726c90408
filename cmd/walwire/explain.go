package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/walwire/walwire/auth"
	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/internal/app"
)

// explainTimeout bounds an explanation: the log is read from where the slot is.
const explainTimeout = 5 * time.Minute

// explainFlags say what check is to explain, and for whom.
type explainFlags struct {
	Explain []string          `help:"Show what this role sees and hears, instead of the findings; with a change, what it is told of it (without: every role). Several roles of one user have commas between. Repeat for more." sep:"none" placeholder:"ROLE" group:"Explain:"`
	User    string            `help:"The user's id. Default: somebody of whom nothing is known but the role." placeholder:"ID" group:"Explain:"`
	Company string            `help:"The user's company. Default: none, and that of the rows for a change." placeholder:"ID" group:"Explain:"`
	Claims  string            `help:"Further claims of the user's token, as a JSON object." placeholder:"JSON" group:"Explain:"`
	Table   string            `help:"The public name of a table: this one alone, or that of the change." placeholder:"NAME" group:"Explain:"`
	Key     string            `help:"The key of the row that would be updated or deleted; a JSON list where it has several columns." group:"Explain:"`
	Set     map[string]string `help:"A column that would be updated. The value is JSON, or else text; null is NULL. Repeat for more." mapsep:"none" placeholder:"COLUMN=VALUE" group:"Explain:"`
	Insert  string            `help:"The row that would be inserted, as a JSON object. Columns that are left out have their defaults." placeholder:"JSON" group:"Explain:"`
	Delete  bool              `help:"The row would be deleted." group:"Explain:"`
	Recent  string            `help:"Look at the last transactions that the server's slot still holds: so many, or those of so long, as in 10m." placeholder:"N|DURATION" group:"Explain:"`
}

// explains reports whether there is anything to explain.
func (k *explainFlags) explains() bool { return len(k.Explain) > 0 || k.changes() > 0 }

// changes counts the changes given, of which one can be.
func (k *explainFlags) changes() int {
	n := 0
	for _, given := range []bool{len(k.Set) > 0, k.Insert != "", k.Delete, k.Recent != ""} {
		if given {
			n++
		}
	}
	return n
}

// Validate is asked by the command line's parser.
func (k *explainFlags) Validate() error {
	row := len(k.Set) > 0 || k.Delete
	switch {
	case k.changes() > 1:
		return errors.New("give one of --set, --insert, --delete and --recent")
	case (row || k.Insert != "") && k.Table == "":
		return errors.New("--table is needed: the public name of the row's table")
	case row && k.Key == "":
		return errors.New("--key is needed: which row of the table")
	case !row && k.Key != "":
		return errors.New("--key needs --set or --delete")
	case k.Recent != "" && k.Table != "":
		return errors.New("--recent looks at all tables: leave out --table")
	case !k.explains() && (k.User != "" || k.Company != "" || k.Claims != "" || k.Table != ""):
		return errors.New("--explain is needed: the role to show, as in --explain owner")
	}
	if k.Recent != "" {
		if _, _, err := k.recent(); err != nil {
			return err
		}
	}
	return nil
}

// recent reads --recent: so many, or so long.
func (k *explainFlags) recent() (n int, age time.Duration, err error) {
	if n, err = strconv.Atoi(k.Recent); err == nil && n > 0 {
		return n, 0, nil
	}
	if age, err = time.ParseDuration(k.Recent); err == nil && age > 0 {
		return 0, age, nil
	}
	return 0, 0, fmt.Errorf("--recent: %q is neither a number of transactions nor a duration, as in 20 or 10m", k.Recent)
}

func (k *explainFlags) explain(ctx context.Context, c *console, flags configFlags, asJSON bool) error {
	viewer := app.Viewer{ID: k.User, Company: k.Company}
	if k.Claims != "" {
		if err := decodeJSON(k.Claims, &viewer.Claims); err != nil {
			return fmt.Errorf("--claims is not a JSON object: %w", err)
		}
	}
	cfg, err := flags.load()
	if err != nil {
		return err
	}
	if cfg.DatabaseURL.IsZero() {
		return errNoDatabase
	}
	ctx, cancel := context.WithTimeout(ctx, explainTimeout)
	defer cancel()
	e, err := app.NewExplainer(ctx, cfg, c.log)
	if err != nil {
		return err
	}
	defer e.Close(ctx)
	var viewers []app.Viewer
	for _, roles := range k.Explain {
		one := viewer
		one.Roles = strings.Split(roles, ",")
		viewers = append(viewers, one)
	}
	x := &explanation{out: c.out, json: asJSON}
	if k.changes() == 0 {
		for _, v := range viewers {
			if err := x.viewer(ctx, e, v, k.Table); err != nil {
				return err
			}
		}
		return nil
	}
	if len(viewers) == 0 {
		viewers = []app.Viewer{viewer}
	}
	if k.Recent == "" {
		return k.given(ctx, e, viewers, x)
	}
	n, age, _ := k.recent() // validated
	told := 0
	since, err := e.Recent(ctx, n, age, func(tx *cdc.Transaction) error {
		told++
		return x.change(ctx, e, tx, viewers, false)
	})
	if err != nil {
		return err
	}
	reach := "the slot holds no transaction that changes rows of the publication"
	if !since.IsZero() {
		reach = fmt.Sprintf("the slot %s holds what was committed since %s", cfg.Slot, since.Format(time.RFC3339))
	}
	plural := "s"
	if told == 1 {
		plural = ""
	}
	_, err = fmt.Fprintf(c.err, "%d transaction%s; %s\n", told, plural, reach)
	return err
}

// given tells of the change of a row.
func (k *explainFlags) given(ctx context.Context, e *app.Explainer, viewers []app.Viewer, x *explanation) error {
	change := app.GivenChange{Table: k.Table, Key: k.Key, Values: k.Set, Op: cdc.OpUpdate}
	switch {
	case k.Delete:
		change.Op = cdc.OpDelete
	case k.Insert != "":
		var row map[string]json.RawMessage
		if err := decodeJSON(k.Insert, &row); err != nil {
			return fmt.Errorf("--insert is not a JSON object: %w", err)
		}
		change.Op, change.Values = cdc.OpInsert, make(map[string]string, len(row))
		for name, value := range row {
			change.Values[name] = string(value)
		}
	}
	tx, err := e.GivenChange(ctx, change)
	if err != nil {
		return err
	}
	return x.change(ctx, e, tx, viewers, true)
}

func decodeJSON(text string, into any) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // as the server reads a token
	return d.Decode(into)
}

// explanation prints what was found out.
type explanation struct {
	out  io.Writer
	json bool
}

// viewer prints what somebody sees, of one table or of all.
func (x *explanation) viewer(ctx context.Context, e *app.Explainer, v app.Viewer, table string) error {
	p, err := e.Principal(ctx, v)
	if err != nil {
		return err
	}
	tables := e.Tables()
	if table != "" {
		tables = []string{table}
	}
	views := make([]*app.TableView, 0, len(tables))
	for _, name := range tables {
		view, err := e.Table(ctx, p, name)
		if err != nil {
			return err
		}
		views = append(views, view)
	}
	if x.json {
		return x.document(map[string]any{"user": p.Attributes, "tables": views})
	}
	var b strings.Builder
	describePrincipal(&b, p)
	for _, view := range views {
		describeTable(&b, view)
	}
	_, err = io.WriteString(x.out, b.String())
	return err
}

func (x *explanation) document(v any) error {
	e := json.NewEncoder(x.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func describePrincipal(b *strings.Builder, p *auth.Principal) {
	attributes, _ := json.Marshal(p.Attributes) // of JSON
	fmt.Fprintf(b, "user = %s\n", attributes)
}

func describeTable(b *strings.Builder, v *app.TableView) {
	fmt.Fprintf(b, "\n%s (%s)\n", v.Table, v.Name)
	if v.Columns == nil {
		b.WriteString("  not open to this role\n")
		return
	}
	for _, r := range v.Rules {
		fmt.Fprintf(b, "  rule     %s: %s\n", r.Role, r.Rows)
	}
	switch v.Rows {
	case "TRUE":
		b.WriteString("  rows     all of the company\n")
	case "FALSE":
		b.WriteString("  rows     none: the rule needs something of the user that is missing\n")
	default:
		fmt.Fprintf(b, "  rows     those of the company where %s\n", v.Rows)
	}
	if v.Count != nil {
		more := ""
		if v.More {
			more = "more than "
		}
		fmt.Fprintf(b, "  now      %s%d", more, *v.Count)
		for i, key := range v.Keys {
			fmt.Fprintf(b, "%s%s", []string{", as ", " and "}[min(i, 1)], key)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(b, "  columns  %s\n", strings.Join(v.Columns, ", "))
	if len(v.Hidden) > 0 {
		fmt.Fprintf(b, "  hidden   %s\n", strings.Join(v.Hidden, ", "))
	}
	for _, event := range v.Events {
		describeEvent(b, event)
	}
}

func describeEvent(b *strings.Builder, e app.EventView) {
	head := "event   "
	if e.Because != "" {
		head = "no event"
	}
	fmt.Fprintf(b, "  %s %s on %s", head, e.Event, e.On)
	if len(e.Changes) > 0 {
		fmt.Fprintf(b, " of %s", strings.Join(e.Changes, ", "))
	}
	if e.Several > 0 {
		fmt.Fprintf(b, " of %d rows or more", e.Several)
	}
	if e.When != "" {
		fmt.Fprintf(b, " when %s", e.When)
	}
	if e.Because != "" {
		fmt.Fprintf(b, ": %s", e.Because)
	}
	b.WriteString("\n")
}

// change prints what a commit tells whom. why also tells who is told nothing.
func (x *explanation) change(ctx context.Context, e *app.Explainer, tx *cdc.Transaction, viewers []app.Viewer, why bool) error {
	for _, v := range viewers {
		told, err := e.Tell(ctx, tx, v, why)
		if err != nil {
			return err
		}
		for _, t := range told {
			if err := x.told(tx, t, why); err != nil {
				return err
			}
		}
	}
	return nil
}

// told prints one part of that. imagined says that the commit is none of the log.
func (x *explanation) told(tx *cdc.Transaction, t app.Told, imagined bool) error {
	if x.json {
		return x.document(t)
	}
	var b strings.Builder
	b.WriteString("# ")
	if !imagined {
		fmt.Fprintf(&b, "%s %s, ", t.Position, tx.CommitTime().Format(time.RFC3339Nano))
	}
	fmt.Fprintf(&b, "company %s, %s:", t.Company, strings.Join(t.Roles, ", "))
	switch {
	case len(t.Events) > 0:
		b.WriteString("\n")
	case t.Because != "":
		fmt.Fprintf(&b, " nothing: %s\n", t.Because)
	default:
		b.WriteString(" nothing\n")
	}
	for _, event := range t.Events {
		fmt.Fprintf(&b, "%s\n", event)
	}
	_, err := io.WriteString(x.out, b.String())
	return err
}
