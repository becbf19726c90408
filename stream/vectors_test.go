package stream_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/walwire/walwire/internal/apptest"
)

// vector is a file of testdata/frames, which its README.md describes.
type vector struct {
	Description   string
	Subscriptions []int
	Resumed       []int
	Listening     []int
	Steps         []struct {
		Frame  json.RawMessage
		Rows   map[string][]apptest.Row
		Sorted map[string][]apptest.Row
		Names  map[string][]string
		Told   map[string][]json.RawMessage
		Ended  map[string]string
	}
}

// The vectors, as a client sees them.
func TestVectorsClient(t *testing.T) {
	files, err := filepath.Glob("testdata/frames/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var v vector
			d := json.NewDecoder(strings.NewReader(string(text)))
			d.UseNumber()
			d.DisallowUnknownFields()
			if err := d.Decode(&v); err != nil || v.Description == "" || len(v.Steps) == 0 {
				t.Fatalf("not a vector: %v", err)
			}
			v.run(t)
		})
	}
}

func (v *vector) run(t *testing.T) {
	client := apptest.NewReplica()
	queries := make(map[string]*apptest.Query)
	for _, id := range v.Subscriptions {
		queries[strconv.Itoa(id)] = client.Open(id)
	}
	for _, id := range v.Resumed {
		q := client.Open(id)
		q.Loaded, q.Key = true, []string{"id"}
		q.Columns = []apptest.Column{{Name: "id", Type: "integer"}, {Name: "name", Type: "text"}}
		client.Resume(id, q)
		queries[strconv.Itoa(id)] = q
	}
	feeds := make(map[string]*apptest.Feed)
	for _, id := range v.Listening {
		feeds[strconv.Itoa(id)] = client.Listen(id)
	}
	for i, step := range v.Steps {
		if _, err := client.Receive(step.Frame); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		for id, code := range step.Ended {
			q := queries[id]
			if code != "" && (q == nil || q.Err == nil || q.Err.Code != code) {
				t.Errorf("step %d: subscription %s has not ended with %s", i, id, code)
			}
			delete(queries, id)
		}
		for id, names := range step.Names {
			if got := feeds[id].Names; !slices.Equal(got, names) {
				t.Errorf("step %d: subscription %s can get %v, want %v", i, id, got, names)
			}
		}
		for id, f := range feeds {
			same := func(e apptest.Event, want json.RawMessage) bool { return string(e.Raw) == string(want) }
			if !slices.EqualFunc(f.Events, step.Told[id], same) {
				t.Errorf("step %d: subscription %s is told %+v, want %s", i, id, f.Events, step.Told[id])
			}
			f.Events = nil
		}
		for id, want := range step.Sorted {
			if got := queries[id].Sorted(); !reflect.DeepEqual(got, want) {
				t.Errorf("step %d: subscription %s shows %v, want %v in this order", i, id, got, want)
			}
		}
		for id, q := range queries {
			if q.Err != nil {
				t.Errorf("step %d: subscription %s has ended", i, id)
			}
			want, known := step.Rows[id]
			if step.Rows == nil || !known && !q.Loaded {
				continue
			}
			if got := slices.Collect(maps.Values(q.Rows)); !sameRows(got, want) {
				t.Errorf("step %d: subscription %s shows %v, want %v", i, id, got, want)
			}
		}
	}
}

// sameRows compares as sets.
func sameRows(a, b []apptest.Row) bool {
	if len(a) != len(b) {
		return false
	}
	for _, r := range a {
		if !slices.ContainsFunc(b, func(other apptest.Row) bool { return reflect.DeepEqual(r, other) }) {
			return false
		}
	}
	return true
}
