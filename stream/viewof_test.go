package stream

import (
	"math/rand/v2"
	"testing"

	"github.com/walwire/walwire/mapping/predicate"
)

// What queries share is forgotten with them, also while others of the table are open.
func TestViewsGone(t *testing.T) {
	_, c, _ := listenerOf(t)
	s := c.served.shapes["appointments"]
	open := func(columns []int, order predicate.Order) *view {
		return c.viewOf(&query{shape: s, predicate: &predicate.Node{Kind: predicate.True}, columns: columns, order: order})
	}
	kept := open([]int{0, 1}, predicate.Order{{Column: 0}})
	for n := range 1 << 12 {
		columns := []int{0}
		var order predicate.Order
		for bit := range 12 {
			if n>>bit&1 != 0 {
				columns = append(columns, bit+1)
				order = append(order, predicate.Term{Column: bit + 1})
			}
		}
		c.closeView(open(columns, append(order, predicate.Term{Column: 0})))
	}
	held := kept.table
	if n := len(held.masks) + len(held.asked) + len(held.orderings); n > 2*spare {
		t.Errorf("%d masks and orderings of one view", n)
	}
	if again := open([]int{0, 1}, predicate.Order{{Column: 0}}); again != kept {
		t.Error("the view that is open is not found again")
	}
}

// A row finds each view that shows it, however many come and go.
func TestManyRefs(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	views := make([]*view, 5*manyRefs)
	shown := make(map[*view]bool)
	for i := range views {
		views[i] = new(view)
	}
	var r heldRow
	for n := range 20_000 {
		v := views[random.IntN(len(views))]
		grow := n/1000%2 == 0 // and shrink, by turns
		switch {
		case shown[v] && (!grow || random.IntN(4) == 0):
			r.dropRef(v)
			delete(shown, v)
		case !shown[v] && (grow || random.IntN(4) == 0):
			r.addRef(ref{view: v})
			shown[v] = true
		}
		if len(r.refs) != len(shown) {
			t.Fatalf("%d references of %d views", len(r.refs), len(shown))
		}
		other := views[random.IntN(len(views))]
		if found := r.ref(other); (found != nil) != shown[other] || found != nil && found.view != other {
			t.Fatalf("after %d steps, of %d views: found %v", n, len(shown), found)
		}
	}
}
