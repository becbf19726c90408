package stream

import "testing"

func TestCheckMembers(t *testing.T) {
	for frame, ok := range map[string]bool{
		`{"type":"ping","id":1}`:               true,
		`{"table":"t","orderBy":[]}`:           true,
		`{"type":"ping","type":"subscribe"}`:   false,
		`{"TYPE":"ping"}`:                      false,
		`{"type":"subscribe","Query":{}}`:      false,
		`{"query":{"Table":"of the content"}}`: true, // looked at when the query is read
		`[]`:                                   true, // the decoder says what is wrong
		`{"a":`:                                true,
	} {
		if err := checkMembers([]byte(frame)); (err == nil) != ok {
			t.Errorf("%s: got %v", frame, err)
		}
	}
	if _, err := parseQuery([]byte(`{"Table":"t"}`)); err == nil {
		t.Error("a query with Table for table was taken")
	}
}
