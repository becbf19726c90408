package cdc

import "testing"

func newTestSnapshotter(t *testing.T, b *bench, opts SnapshotterOptions) *Snapshotter {
	t.Helper()
	opts.DatabaseURL = b.opts.DatabaseURL
	s, err := NewSnapshotter(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
