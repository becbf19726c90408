package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/walwire/walwire/mapping"
)

// A file that is written in place is not put in force half-way, one that can't be
// loaded shows as failing, one that is gone is not asked for without end, and no number
// of signals reads it more than once at a time.
func TestWatchConfig(t *testing.T) { synctest.Test(t, watchesConfig) }

func watchesConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "walwire.yaml")
	write := func(text string, flags int) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|flags, 0o600)
		if err == nil {
			_, err = f.WriteString(text)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write("of the start", os.O_TRUNC)
	var mu sync.Mutex
	var loaded []string
	at := 0
	a := &App{log: slog.New(slog.DiscardHandler), ready: make(chan struct{})}
	close(a.ready)
	a.FollowFile(path, []byte("of the start"), func() (*mapping.Config, error) {
		content, err := os.ReadFile(path)
		mu.Lock()
		defer mu.Unlock()
		loaded = append(loaded, string(content))
		return nil, errors.Join(errors.New("wrong: "+string(content)), err)
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = a.watchConfig(ctx)
	}()
	since := func() []string {
		mu.Lock()
		defer mu.Unlock()
		text := loaded[at:]
		at = len(loaded)
		return text
	}
	failing := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			problem, _ := a.reload.state()["error"].(string)
			switch {
			case strings.Contains(problem, want):
				return
			case time.Now().After(end):
				t.Fatalf("fails by %q, want %q", problem, want)
			}
		}
	}
	write("half of it", os.O_TRUNC)
	a.ReadConfig()
	time.Sleep(configSettle / 2)
	write("half of it, and the rest", 0)
	failing("and the rest")
	if got := since(); len(got) != 1 || got[0] != "half of it, and the rest" {
		t.Errorf("loaded %q", got)
	}
	for range 1000 {
		a.ReadConfig()
	}
	time.Sleep(3 * configSettle)
	if got := since(); len(got) == 0 || len(got) > 3 {
		t.Errorf("1000 signals: loaded %d times", len(got))
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	failing("no such file")
	time.Sleep(2*configInterval + configInterval/2)
	if got := since(); len(got) > 2 { // of the signals that were left, and this
		t.Errorf("a file that is gone: asked for %d times", len(got))
	}
	write("it is back", os.O_TRUNC)
	failing("it is back")
	cancel()
	<-ended
}
