package predicate

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// Canonical gives a string that two predicates over the same table share when
// they are the same but for the order and repetition of their parts. It is for
// use as a map key; it is not readable.
func (n *Node) Canonical() string { return string(n.appendCanonical(nil)) }

func (n *Node) appendCanonical(dst []byte) []byte {
	dst = append(dst, byte(n.Kind))
	switch n.Kind {
	case And, Or:
		parts := make([][]byte, len(n.Children))
		for i, c := range n.Children {
			parts[i] = c.appendCanonical(nil)
		}
		slices.SortFunc(parts, bytes.Compare)
		parts = slices.CompactFunc(parts, bytes.Equal)
		if len(parts) == 1 {
			return append(dst[:len(dst)-1], parts[0]...)
		}
		dst = binary.AppendUvarint(dst, uint64(len(parts)))
		for _, p := range parts {
			dst = append(dst, p...)
		}
	case Leaf:
		dst = binary.AppendUvarint(dst, uint64(n.Column))
		dst = append(dst, byte(n.Op))
		dst = binary.AppendUvarint(dst, uint64(len(n.Params)))
		for _, p := range n.Params {
			same := p.Key
			if n.Op == StartsWith || n.Op == NotStartsWith {
				same = p.Text // the key of char(n) has lost the prefix's spaces
			}
			dst = binary.AppendUvarint(dst, uint64(len(same)))
			dst = append(dst, same...)
		}
	}
	return dst
}
