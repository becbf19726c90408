package stream

import "testing"

// A TRUNCATE ends what the stream said of a loading view's keys before it.
func TestLoadingTruncate(t *testing.T) {
	l := loading{overlay: map[string]overlayRow{"a": {xid: 5}, "b": {xid: 6, gone: true}}}
	l.truncate(7)
	if len(l.overlay) > 0 || !l.hasTruncated || l.truncated != 7 {
		t.Errorf("%d keys are left of before the TRUNCATE in %d", len(l.overlay), l.truncated)
	}
}
