package mapping

import (
	"slices"

	"cel.dev/cel-go/cel"
)

// rooms compiles who may join the kinds of room.
func (c *compiler) rooms(user map[string]*cel.Type) {
	if len(c.cfg.Rooms) == 0 {
		return
	}
	s, err := newSchema(nil, user)
	var env *cel.Env
	if err == nil {
		s.vars = "who may join a room is a condition over `user` (the attributes mapped under user) and `room` (the room's value, a text)"
		env, err = cel.NewEnv(cel.CustomTypeProvider(s), cel.Variable("room", cel.StringType), cel.Variable("user", cel.ObjectType(userType)),
			cel.CrossTypeNumericComparisons(true), cel.EnableIdentifierEscapeSyntax())
	}
	if err != nil {
		c.reportKey("rooms", "prepare the conditions: %v", err)
		return
	}
	for _, r := range c.cfg.Rooms {
		compiler := ruleCompiler{env: env, schema: s}
		compiler.report = func(offset int, format string, args ...any) {
			c.add(r.Join.position(offset), join("rooms", r.Kind), format, args...)
		}
		checked := compiler.check(r.Join.Text)
		if checked == nil {
			continue
		}
		program, err := env.Program(checked)
		if err != nil {
			compiler.report(0, "prepare the condition: %v", err)
			continue
		}
		c.mapping.rooms = append(c.mapping.rooms, &Room{Kind: r.Kind, program: program})
	}
}

// events compiles what changes of a table are told as.
func (c *compiler) events(cfg *TableConfig, t *Table) {
	path := join("tables", cfg.Name)
	for _, r := range cfg.Rooms {
		at := join(path+".rooms", r.Kind)
		ordinal := c.rowColumn(at, r.Column, t)
		if ordinal < 0 {
			continue
		}
		if err := t.Columns[ordinal].Type.CheckEquality(); err != nil {
			c.report(at, "column %q: %v", r.Column, err)
		}
		t.rooms = append(t.rooms, TableRoom{Kind: r.Kind, Column: ordinal})
	}
	if cfg.firstRule > 0 {
		c.ordinal = cfg.firstRule - 1
	}
	for i := range cfg.Events {
		t.events = append(t.events, c.event(index(path+".events", i), &cfg.Events[i], t))
	}
}

func (c *compiler) event(path string, cfg *EventConfig, t *Table) *Event {
	e := &Event{
		Table: t, Name: cfg.Event, OfOld: cfg.Of == "old" || cfg.On == OnDelete, Several: cfg.Several, instead: cfg.InsteadOf,
		Ordinal: c.ordinal, Columns: c.columns(path+".columns", cfg.Columns, t, c.infos[t.Name]),
		Old: c.named(path+".old", cfg.Old, t), Changes: c.named(path+".changes", cfg.Changes, t),
	}
	c.ordinal++
	switch cfg.On {
	case OnUpdate:
		e.On = EventUpdate
	case OnDelete:
		e.On = EventDelete
	}
	for _, r := range t.rooms {
		if cfg.Rooms == nil || slices.Contains(cfg.Rooms, r.Kind) {
			e.Rooms = append(e.Rooms, r)
		}
	}
	if cfg.When.Text != "" {
		c.condition(path+".when", cfg, e)
	}
	return e
}

// named gives the ordinals of listed columns, nil for none.
func (c *compiler) named(path string, names []string, t *Table) []int {
	var ordinals []int
	for i, name := range names {
		if ordinal := c.rowColumn(index(path, i), name, t); ordinal >= 0 {
			ordinals = append(ordinals, ordinal)
		}
	}
	slices.Sort(ordinals)
	return slices.Compact(ordinals)
}

func (c *compiler) condition(path string, cfg *EventConfig, e *Event) {
	s, env, err := eventEnvironment(e.Table.Columns, cfg.On)
	if err != nil {
		c.reportKey(path, "prepare the condition: %v", err)
		return
	}
	compiler := ruleCompiler{env: env, schema: s, table: e.Table, info: c.infos[e.Table.Name]}
	compiler.report = func(offset int, format string, args ...any) {
		c.add(cfg.When.position(offset), path, format, args...)
	}
	checked := compiler.check(cfg.When.Text)
	if checked == nil {
		return
	}
	e.Needs = compiler.named(checked.NativeRep().Expr())
	for _, i := range e.Needs {
		if c.infos[e.Table.Name].Columns[i].Generated {
			compiler.report(0, "column %q is generated: it is not in the log of changes; name a stored column", e.Table.Columns[i].Name)
			return
		}
	}
	if cfg.On == OnUpdate {
		optimizer, err := cel.NewStaticOptimizer(exactChanges{})
		if err == nil {
			var issues *cel.Issues
			checked, issues = optimizer.Optimize(env, checked)
			err = issues.Err()
		}
		if err != nil {
			compiler.report(0, "prepare the condition: %v", err)
			return
		}
	}
	if e.program, err = env.Program(checked, cel.EvalOptions(cel.OptOptimize)); err != nil {
		compiler.report(0, "prepare the condition: %v", err)
	}
}
