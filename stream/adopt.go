package stream

import (
	"maps"
	"time"

	"github.com/walwire/walwire/cdc"
	"github.com/walwire/walwire/mapping"
)

// reload reads the schema until it succeeds: without it the stream can't be
// understood, and nothing may be skipped.
func (h *Hub) reload(why string) {
	h.Log.Info("reading the schema again", "because", why)
	if h.current != nil {
		h.awaitVisible(h.current.XID)
	}
	if schema, prints := h.awaitSchema(); schema != nil {
		h.take(schema, prints)
	}
}

// awaitSchema reads the schema as often as it takes; nil when the hub ends.
func (h *Hub) awaitSchema() (*Schema, fingerprints) {
	for h.ctx.Err() == nil {
		schema, prints, err := h.readSchema()
		if err == nil {
			return schema, prints
		}
		if h.ctx.Err() == nil {
			h.Log.Error("read schema", "error", err)
		}
		pause(h.ctx, time.Second)
	}
	return nil, nil
}

// visiblePatience bounds the wait for a commit to become visible: a synchronous
// standby may be away.
const visiblePatience = 2 * time.Second

// awaitVisible waits until queries see the transaction. A commit can be read from
// the WAL before, and a catalogue read then would be that from before it.
func (h *Hub) awaitVisible(xid uint32) {
	for begun := time.Now(); h.ctx.Err() == nil && time.Since(begun) < visiblePatience; pause(h.ctx, time.Millisecond) {
		if snap, err := h.Snapshotter.Visible(h.ctx); err == nil && snap.Sees(xid) {
			return
		}
	}
}

// adopt puts a schema in force. Tables whose columns differ get a new shape,
// and every view of them is begun anew; those of other tables are read again where
// changed says so.
func (h *Hub) adopt(schema *Schema, changed func(*shape) bool) {
	old, relations := h.shapes, h.relations
	h.shapes = make(map[string]*shape)
	h.relations = make(map[uint32]*shape)
	clear(h.bindings)
	for name, t := range schema.Tables {
		m, ok := schema.Mapping.Table(name)
		if !ok {
			continue
		}
		s := newShape(m, t)
		if before := old[name]; before != nil && before.same(s) {
			s = before
		}
		h.shapes[name] = s
		for _, leaf := range t.Leaves {
			h.relations[leaf.OID] = s
		}
	}
	var mended []string
	for name := range h.broken {
		if _, still := schema.Broken[name]; !still && (h.shapes[name] == nil || h.shapes[name] != old[name]) {
			if h.shapes[name] != nil {
				mended = append(mended, name)
			}
			delete(h.broken, name)
			delete(h.quarantined, name)
		}
	}
	for name, err := range schema.Broken {
		delete(h.quarantined, name)
		h.broken[name] = errorf(CodeFailedPrecondition, "table %s can't be served now: the server's log says why, walwire check what to do", name) // err names columns
		h.Log.Error("a table can't be served", "table", name, "error", err)
	}
	h.Metrics.Quarantined.Set(float64(len(h.quarantined)))
	h.schema.Store(schema)
	var reread []*shape
	for name, s := range h.shapes {
		if s == old[name] && !changed(s) {
			continue
		}
		if s == old[name] {
			reread = append(reread, s)
		}
		if leaf, ok := newShape(s.mapping, schema.Tables[name]).unidentified(); ok {
			h.Log.Warn("the replica identity leaves out the key or the company: each change is looked up for every company, which costs more; clients see what they may as before",
				"table", name, "of", leaf.String(), "mend", "ALTER TABLE "+leaf.String()+" REPLICA IDENTITY FULL")
		}
	}
	for _, s := range h.shapes {
		h.companyType.Store(s.columns[s.company].Type)
	}
	h.noteLives(schema, mended)
	altered := !maps.Equal(old, h.shapes) || !maps.Equal(relations, h.relations)
	if altered {
		h.index()
	}
	h.tell(altered, reread)
}

// quarantine stops serving a table: a change of it could not be read.
func (h *Hub) quarantine(s *shape, cause error) {
	name := s.mapping.Name
	if h.broken[name] != nil {
		return
	}
	h.quarantined[name] = true
	h.Metrics.Quarantined.Set(float64(len(h.quarantined)))
	h.Log.Error("a change can't be decoded: the table is quarantined until it is altered or walwire is restarted", "table", name, "error", cause)
	h.broken[name] = errorf(CodeFailedPrecondition, "table %s is quarantined: a change of it could not be decoded", name)
	h.tell(false, nil)
}

// tell gives every company the shapes in force, with its log as they read it where
// they have changed, and the shapes whose views are to be read again.
func (h *Hub) tell(changed bool, reread []*shape) {
	h.told++
	served := h.tables()
	h.served.Store(served)
	for _, c := range h.companies {
		h.deliver(c)
		var log companyLog
		if changed {
			log = h.logOf(c)
		}
		n, here := h.logs, h.here()
		c.inbox.push(message{do: func() {
			if n < c.logN { // a restart has come before it, with these tables or later ones
				return
			}
			if changed {
				c.takeLog(log)
				c.reached(here) // the log may tell of commits that did not concern it before
			}
			c.adopt(served, reread)
			if changed {
				c.tellOn()
			}
		}}, 0)
	}
}

// tables is an immutable copy of what is served.
func (h *Hub) tables() *tables {
	t := &tables{n: h.told, begun: h.begun, begunAt: h.begunAt, life: h.life, lives: h.lives, holes: h.holes, shapes: make(map[string]*shape, len(h.shapes)), broken: make(map[string]*Error, len(h.broken)), marks: h.marks}
	if schema := h.schema.Load(); schema != nil {
		t.mapping, t.unserved, t.usersUnknown = schema.Mapping, schema.Unserved, schema.UsersUnknown != nil
	}
	for name, s := range h.shapes {
		t.shapes[name] = s
	}
	if len(h.joining) > 0 {
		t.incomplete = make(map[*shape]bool)
		for _, s := range h.shapes {
			_, t.incomplete[s] = h.joining[s.catalog.TableName]
		}
	}
	for name, err := range h.broken {
		t.broken[name] = err
	}
	return t
}

// tables is what a company serves: the shapes, and the tables that can't be
// served with what a client is told.
type tables struct {
	n       uint64 // later ones have higher numbers; copies have the same
	shapes  map[string]*shape
	broken  map[string]*Error
	marks   map[cdc.TableName]string // see Hub.marks; immutable
	mapping *mapping.Mapping
	// incomplete are shapes of tables that are joining: the log does not tell all of them.
	incomplete map[*shape]bool
	// unserved are tables that are not in the mapping for now.
	unserved     []Unserved
	usersUnknown bool
	// life, lives and holes say what the log may not tell of: see Hub. Immutable.
	life    uint32
	begun   cdc.LSN
	begunAt int64
	lives   map[uint32]uint64
	holes   map[string]hole
}
