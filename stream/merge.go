package stream

// merge gives the ops of several entries as one op a key, but every event.
func merge(entries []*entry) []op {
	if len(entries) == 1 {
		return entries[0].ops
	}
	n := 0
	for _, e := range entries {
		n += len(e.ops)
	}
	ops := make([]op, 0, n)
	for _, e := range entries {
		ops = append(ops, e.ops...)
	}
	if len(ops) > 0 && ops[0].kind == opEvent {
		return ops
	}
	return foldOps(ops)
}

// foldOps folds ops into one a key, in the order in which the keys first occur:
// added+modified = added, added+removed = nothing, removed+added = modified,
// modified+removed = removed, and nothing where a row is as it was. It uses the
// memory of ops.
func foldOps(ops []op) []op {
	at := make(map[string]int, len(ops))
	folded := ops[:0]
	for _, o := range ops {
		i, seen := at[o.key]
		switch {
		case !seen:
			at[o.key] = len(folded)
			folded = append(folded, o)
		case folded[i].data == nil: // was added and removed again
			folded[i] = o
		default:
			folded[i] = follow(folded[i], o)
		}
	}
	kept := folded[:0]
	for _, o := range folded {
		if o.data != nil && !o.idle() {
			kept = append(kept, o)
		}
	}
	return kept
}

// follow is what a client that saw neither must be told of two ops on one key.
// A result without data means nothing.
func follow(first, then op) op {
	switch {
	case first.kind == opAdded && then.kind == opRemoved:
		return op{key: first.key}
	case first.kind == opAdded:
		then.kind = opAdded
	case first.kind == opRemoved && then.kind == opAdded:
		then.kind = opModified
	}
	then.was, then.wasOrder = first.was, first.wasOrder
	return then
}

// idle reports whether a row has come back to what the client was shown.
func (o *op) idle() bool {
	return o.kind == opModified && o.was != nil && string(o.was) == string(o.data) && o.wasOrder == o.order
}
