package torture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// server keeps walwire running as a process of its own, as an init system
// would: it is started again when it ends. Safe for concurrent use.
type server struct {
	binary, dir   string
	listen, admin string // addresses
	databaseURL   string
	config        func() string
	ended         func(err error, log string) // by itself, and not because it was asked to
	refused       func(why string)            // to end as it was asked to
	changed       func()                      // it has been started, or has ended

	mu      sync.Mutex // protects following
	cmd     *exec.Cmd
	done    chan struct{} // closed when cmd has ended
	asked   bool          // to end
	held    bool          // not to be started
	starts  int
	now     map[string]float64 // metrics of this process
	earlier map[string]float64 // of those before
}

// drainTime is drain.time's default.
const drainTime = 20 * time.Second

// repository is the folder that all is built from.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..")
}

// buildServer compiles the command.
func buildServer(ctx context.Context, root, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "walwire")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/walwire")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build walwire: %w\n%s", err, out)
	}
	return binary, nil
}

// run keeps the process up until ctx ends, and ends it then.
func (s *server) run(ctx context.Context) error {
	s.now, s.earlier = make(map[string]float64), make(map[string]float64)
	for {
		done, err := s.startUnlessHeld()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			s.stop(syscall.SIGTERM)
			return nil
		case <-done:
		case <-time.After(300 * time.Millisecond):
			s.scrape(ctx)
		}
	}
}

// startUnlessHeld gives what is closed at the end of the process, nil where
// there is none.
func (s *server) startUnlessHeld() (done chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return s.done, nil
	}
	if s.held {
		return nil, nil
	}
	if err := s.writeConfig(); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.Command(s.binary, "serve", "--config", s.configFile())
	cmd.Env = append(os.Environ(), "WALWIRE_DATABASE_URL="+s.databaseURL)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start walwire: %w", err)
	}
	done = make(chan struct{})
	s.cmd, s.done, s.asked = cmd, done, false
	s.starts++
	s.changed()
	go func() {
		err := cmd.Wait()
		s.changed()
		s.mu.Lock()
		asked := s.asked
		s.cmd = nil
		for name, v := range s.now {
			s.earlier[name] += v
		}
		clear(s.now)
		s.mu.Unlock()
		if !asked {
			s.ended(err, s.tail())
			time.Sleep(200 * time.Millisecond)
		}
		close(done)
	}()
	return done, nil
}

func (s *server) configFile() string { return filepath.Join(s.dir, "walwire.yaml") }

// writeConfig puts the configuration of now into the file, all at once.
func (s *server) writeConfig() error {
	next := s.configFile() + ".next"
	if err := os.WriteFile(next, []byte(s.config()), 0o600); err != nil {
		return err
	}
	return os.Rename(next, s.configFile())
}

func (s *server) logFile() string { return filepath.Join(s.dir, "walwire.log") }

// tail is the end of the log.
func (s *server) tail() string {
	text, _ := os.ReadFile(s.logFile())
	if i := bytes.LastIndex(text, []byte("panic: ")); i >= 0 { // what comes behind it is long
		return string(text[i:min(len(text), i+8000)])
	}
	return string(text[max(0, len(text)-1500):])
}

// crashes is what the log says of panics, of a request's handler too.
func (s *server) crashes() string {
	text, _ := os.ReadFile(s.logFile())
	for _, sign := range []string{"panic: ", "fatal error: ", "http: panic serving"} {
		if i := bytes.Index(text, []byte(sign)); i >= 0 {
			return string(text[i:min(len(text), i+8000)])
		}
	}
	return ""
}

// stop ends the process by a signal, and at last by SIGKILL, and waits.
func (s *server) stop(sig syscall.Signal) {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	if cmd != nil {
		s.asked = true
		_ = cmd.Process.Signal(sig)
	}
	s.mu.Unlock()
	if cmd == nil {
		return
	}
	select {
	case <-done:
	case <-time.After(drainTime + 15*time.Second):
		s.refused("walwire does not stop; its log ends:\n" + s.tail())
		_ = cmd.Process.Kill()
		<-done
	}
	if code := cmd.ProcessState.ExitCode(); sig == syscall.SIGTERM && code != 0 {
		s.refused(fmt.Sprintf("walwire ends with %d after SIGTERM; its log ends:\n%s", code, s.tail()))
	}
}

// hold keeps it down after a signal until release.
func (s *server) hold(sig syscall.Signal) {
	s.mu.Lock()
	s.held = true
	s.mu.Unlock()
	s.stop(sig)
}

func (s *server) release() {
	s.mu.Lock()
	s.held = false
	s.mu.Unlock()
}

// ready asks whether it serves.
func (s *server) ready(ctx context.Context) bool {
	_, err := s.get(ctx, s.listen, "/readyz")
	return err == nil
}

func (s *server) get(ctx context.Context, address, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(answer.Status)
	}
	return body, err
}

// scrape keeps the counters as they were last seen: a killed process can't be asked.
func (s *server) scrape(ctx context.Context) {
	body, err := s.get(ctx, s.admin, "/metrics")
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(string(body)) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok || !strings.HasPrefix(name, "walwire_") {
			continue
		}
		if v, err := strconv.ParseFloat(value, 64); err == nil && s.cmd != nil {
			s.now[name] = v
		}
	}
}

// loaded is when the configuration in force was read, 0 where nobody says.
func (s *server) loaded(ctx context.Context) float64 {
	s.scrape(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now["walwire_config_loaded_timestamp_seconds"]
}

// metric is a counter's sum over all processes.
func (s *server) metric(name string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now[name] + s.earlier[name]
}
