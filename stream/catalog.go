package stream

import (
	"fmt"
	"slices"

	"github.com/walwire/walwire/cdc"
)

type fingerprints = map[cdc.TableName]cdc.Fingerprint

func (h *Hub) fingerprints() (fingerprints, error) {
	if h.Fingerprints == nil {
		return nil, nil
	}
	return h.Fingerprints(h.ctx)
}

// watchCatalog looks for what changes rows without a change in the stream: tables
// rewritten, columns swapped, partitions attached, tables made anew, a publication
// altered. Their views are read again.
func (h *Hub) watchCatalog(known fingerprints) {
	h.every(h.CatalogInterval, func() {
		now, err := h.fingerprints()
		if err != nil {
			if h.ctx.Err() == nil {
				h.Log.Warn("can't look at the catalogue", "error", err)
			}
			return
		}
		if changed := h.changed(known, now); len(changed) > 0 {
			known = now
			h.post(func() { h.recheck(changed, now) })
		}
	})
}

// changed names the tables whose fingerprints differ. Where one has joined the
// publication anew, it waits for the transactions that were open then: their
// earlier rows will never be in the stream.
func (h *Hub) changed(before, now fingerprints) []cdc.TableName {
	var changed, joined []cdc.TableName
	for _, fs := range [...]fingerprints{before, now} {
		for name := range fs {
			if before[name] == now[name] || slices.Contains(changed, name) {
				continue
			}
			changed = append(changed, name)
			if p := now[name].Publication; p != "" && p != before[name].Publication {
				joined = append(joined, name)
			}
		}
	}
	if len(joined) > 0 {
		if err := cdc.WaitAdded(h.ctx, h.Snapshotter.Pool(), h.Log, joined); err != nil && h.ctx.Err() == nil {
			h.Log.Warn("can't wait for the transactions that were open when the publication changed", "error", err)
		}
	}
	return changed
}

// recheck reads the schema, and the views of the changed tables that it leaves as
// they were.
func (h *Hub) recheck(changed []cdc.TableName, now fingerprints) {
	before := h.shapes
	h.prints = now
	h.reload(fmt.Sprintf("the catalogue of %v has changed", changed))
	for name, s := range h.shapes {
		if before[name] != s || !slices.Contains(changed, s.catalog.TableName) {
			continue
		}
		for _, c := range h.companies {
			h.deliver(c)
			c.inbox.push(message{do: func() {
				if t := c.tables[s]; t != nil {
					c.rereadAll(t)
				}
			}}, 0)
		}
	}
}
