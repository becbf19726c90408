package stream

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/walwire/walwire/cdc"
)

type fingerprints = map[cdc.TableName]cdc.Fingerprint

func (h *Hub) fingerprints(ctx context.Context) (fingerprints, error) {
	if h.Fingerprints == nil {
		return nil, nil
	}
	ctx, cancel := h.Snapshotter.Bound(ctx)
	defer cancel()
	return h.Fingerprints(ctx)
}

// readSchema reads the schema, and the fingerprints of the very catalogue that it was
// read from.
func (h *Hub) readSchema() (*Schema, fingerprints, error) {
	ctx, cancel := context.WithTimeout(h.ctx, 15*time.Second)
	defer cancel()
	before, err := h.fingerprints(ctx)
	if err != nil {
		return nil, nil, err
	}
	for {
		schema, err := h.LoadSchema(ctx)
		if err != nil {
			return nil, nil, err
		}
		after, err := h.fingerprints(ctx)
		if err != nil || maps.Equal(before, after) {
			return schema, after, err
		}
		before = after
	}
}

// watchCatalog looks for what changes rows without a change in the stream: tables
// rewritten, columns swapped, partitions attached, tables made anew, a publication
// altered. Their views are read again.
func (h *Hub) watchCatalog() {
	h.every(h.CatalogInterval, h.look, func() {
		begun := time.Now()
		now, err := h.fingerprints(h.ctx)
		if err != nil {
			if h.ctx.Err() == nil {
				h.Log.Warn("can't look at the catalogue", "error", err)
			}
			return
		}
		h.post(func() {
			if !maps.Equal(h.prints, now) {
				h.reload("the catalogue has changed")
			}
			h.looked(begun, now)
			h.admitJoined()
		})
	})
}

// admitJoined has those admitted that have joined the publication, or have another place
// in it.
func (h *Hub) admitJoined() {
	joined := make(map[cdc.TableName]string)
	for name, f := range h.prints {
		if f.Publication != "" && f.Publication != h.admitted[name] && f.Publication != h.admitting[name] {
			joined[name], h.admitting[name] = f.Publication, f.Publication
		}
	}
	if len(joined) > 0 {
		h.group.Go(func() { h.admit(joined) })
	}
}

// looked notes that the catalogue was now when begun. Where that is the one in force, all
// that was read before was read under it: it never becomes the same again.
func (h *Hub) looked(begun time.Time, now fingerprints) {
	if !maps.Equal(h.prints, now) {
		h.lookSoon()
		return
	}
	h.confirmed.Store(&begun)
	waiting := h.unconfirmed
	h.unconfirmed = nil
	for _, w := range waiting {
		h.confirm(w.read, w.fn)
	}
}

// confirms reports whether rows read by then are known to be those of the catalogue
// in force. Safe for concurrent use.
func (h *Hub) confirms(read time.Time) bool {
	at := h.confirmed.Load()
	return h.Fingerprints == nil || at != nil && at.After(read)
}

// confirm calls fn in the hub's goroutine once confirms(read).
func (h *Hub) confirm(read time.Time, fn func()) {
	if h.confirms(read) {
		fn()
		return
	}
	h.unconfirmed = append(h.unconfirmed, unconfirmed{read, fn})
	h.lookSoon()
}

// lookSoon has the catalogue looked at now.
func (h *Hub) lookSoon() {
	select {
	case h.look <- struct{}{}:
	default:
	}
}

// unconfirmed waits for a look at the catalogue.
type unconfirmed struct {
	read time.Time
	fn   func()
}

// admit waits for the transactions that were open when tables joined the
// publication: their earlier rows will never be in the stream. Then it lets the tables
// be served, and read, as of that publication.
func (h *Hub) admit(joined map[cdc.TableName]string) {
	names := make([]cdc.TableName, 0, len(joined))
	for name := range joined {
		names = append(names, name)
	}
	for {
		err := cdc.WatchAdded(h.ctx, h.Snapshotter.Pool(), h.Log, names, func(last uint32) {
			h.post(func() { h.incomplete(joined, last) })
		})
		if err == nil {
			break
		}
		if h.ctx.Err() != nil {
			return
		}
		h.Log.Warn("can't wait for the transactions that were open when the publication changed", "error", err)
		pause(h.ctx, time.Second)
	}
	h.post(func() {
		for name, place := range joined {
			if h.admitting[name] == place {
				delete(h.admitting, name)
			}
			if h.prints[name].Publication == place { // else it has changed again, and waits again
				h.admitted[name] = place
			}
		}
		h.reload(fmt.Sprintf("the place of %v in the publication has changed", names))
	})
}

// joining is a table that was out of the publication and is back, unseen: it is served on,
// but what was open then may have written to it without a trace in the stream.
type joining struct {
	place string // in the publication
	last  uint32 // transaction ids up to here may be of those; zero: not known yet
}

// suspect reports whether a transaction may have changed more of a table than it tells.
func (h *Hub) suspect(tx *cdc.Transaction, s *shape) bool {
	if len(h.joining) == 0 {
		return false
	}
	j, ok := h.joining[s.catalog.TableName]
	return ok && (j.last == 0 || int32(tx.XID-j.last) <= 0)
}

// incomplete has served tables that joined read again: some of the transactions that were
// open then have ended.
func (h *Hub) incomplete(joined map[cdc.TableName]string, last uint32) {
	var reread []*shape
	for _, s := range h.shapes {
		name := s.catalog.TableName
		if j, ok := h.joining[name]; ok && j.place == joined[name] {
			h.joining[name] = joining{j.place, last}
			reread = append(reread, s)
		}
	}
	if len(reread) > 0 {
		h.tell(false, reread)
	}
}

// take puts in force what was read of the catalogue: the schema, and the views of the
// tables that it leaves as they were but whose rows may have changed are read again.
func (h *Hub) take(schema *Schema, prints fingerprints) {
	for name, t := range schema.Tables {
		if h.shapes[name] == nil && prints[t.TableName].Publication != h.admitted[t.TableName] {
			schema.Broken[name] = fmt.Errorf("it has joined the publication, and transactions that were open then must end first")
			delete(schema.Tables, name)
		}
	}
	before := h.marks
	h.prints, h.marks = prints, make(map[cdc.TableName]string, len(prints))
	was := h.joining
	h.joining = make(map[cdc.TableName]joining)
	for name, f := range prints {
		h.marks[name] = f.Shape + f.Publication + h.admitted[name]
		if f.Publication != "" && f.Publication != h.admitted[name] {
			j := joining{place: f.Publication}
			if before := was[name]; before.place == j.place {
				j = before
			}
			h.joining[name] = j
			if j.last == 0 {
				h.lookSoon() // and find out
			}
		}
	}
	h.adopt(schema, func(s *shape) bool { return before[s.catalog.TableName] != h.marks[s.catalog.TableName] })
}
