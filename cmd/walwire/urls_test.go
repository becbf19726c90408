package main

import "testing"

func TestServerURLs(t *testing.T) {
	for _, test := range []struct{ in, stream, http string }{
		{"ws://127.0.0.1:8080/v1/stream", "ws://127.0.0.1:8080/v1/stream", "http://127.0.0.1:8080/readyz"},
		{"http://127.0.0.1:8080", "ws://127.0.0.1:8080/v1/stream", "http://127.0.0.1:8080/readyz"},
		{"https://live.example.com/", "wss://live.example.com/v1/stream", "https://live.example.com/readyz"},
		{"wss://example.com/live/v1/stream", "wss://example.com/live/v1/stream", "https://example.com/live/readyz"},
		{"http://127.0.0.1:8080/healthz", "ws://127.0.0.1:8080/healthz", "http://127.0.0.1:8080/healthz"},
	} {
		t.Run(test.in, func(t *testing.T) {
			if got, err := streamURL(test.in); err != nil || got != test.stream {
				t.Errorf("streamURL: %q, %v; want %q", got, err, test.stream)
			}
			if got, err := httpURL(test.in); err != nil || got != test.http {
				t.Errorf("httpURL: %q, %v; want %q", got, err, test.http)
			}
		})
	}
	for _, in := range []string{"", "127.0.0.1:8080", "ftp://x", "ws://", "http://a b"} {
		if got, err := streamURL(in); err == nil {
			t.Errorf("streamURL(%q) gives %q: an error is needed", in, got)
		}
	}
}

func TestReachable(t *testing.T) {
	for in, want := range map[string]string{
		"http://[::]:8080":        "http://127.0.0.1:8080",
		"http://0.0.0.0:8080":     "http://127.0.0.1:8080",
		"http://127.0.0.1:8080":   "http://127.0.0.1:8080",
		"http://192.168.0.4:8080": "http://192.168.0.4:8080",
	} {
		if got := reachable(in); got != want {
			t.Errorf("reachable(%q) = %q, want %q", in, got, want)
		}
	}
}
