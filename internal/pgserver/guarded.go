package pgserver

import (
	"bufio"
	"context"
	_ "embed" // the guardian's script
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

//go:embed guardian.sh
var guardianScript string

// How long a stop may take before the next harder one.
const (
	fastPatience      = 10 * time.Second
	immediatePatience = 10 * time.Second
)

// guarded is a running command with its guardian. See the package's
// documentation for what the guardian is for.
type guarded struct {
	pid      int           // the command's
	lifeline *os.File      // the guardian acts when this end is closed
	done     chan struct{} // closed once command and guardian have ended
	err      error         // how they ended; read after done
}

// guard describes a command to run under a guardian.
type guard struct {
	account account
	dir     string // working directory
	remove  string // removed when this process dies; empty: nothing
	log     string // file for the command's output, appended to
	command []string
}

// start runs the command and returns as soon as it has a process id.
func (g guard) start() (*guarded, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the guardian's pipe: %w", err)
	}
	defer func() { _ = read.Close() }()
	args := append([]string{"-s", "--", g.remove, g.log}, g.command...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Stdin = strings.NewReader(guardianScript)
	cmd.Dir = g.dir
	cmd.Env = environment(os.Environ())
	cmd.ExtraFiles = []*os.File{read}
	cmd.SysProcAttr = detached(g.account)
	p := &guarded{lifeline: write, done: make(chan struct{})}
	if p.pid, err = startAndReadPid(cmd); err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("start the guardian of %s: %w", g.command[0], err)
	}
	go func() {
		p.err = cmd.Wait()
		_ = p.lifeline.Close()
		close(p.done)
	}()
	return p, nil
}

// startAndReadPid starts the guardian and reads the process id it prints.
func startAndReadPid(cmd *exec.Cmd) (int, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer func() { _ = read.Close() }()
	cmd.Stdout = write
	err = cmd.Start()
	_ = write.Close()
	if err != nil {
		return 0, err
	}
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		return 0, errors.Join(fmt.Errorf("read the process id: %w", err), cmd.Wait())
	}
	return strconv.Atoi(strings.TrimSpace(line))
}

// environment is what PostgreSQL's programs are to see: no PG* settings meant
// for clients, and messages in English, which are looked at here.
func environment(environ []string) []string {
	env := []string{"LC_ALL=C"}
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return env
}

// wait returns how the command ended; when ctx ends first, the command is
// stopped.
func (p *guarded) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.stop(context.WithoutCancel(ctx), Immediate))
	}
}

// stop ends a postmaster and waits for it: a fast stop that takes too long, or
// outlives ctx, becomes an immediate one, and that at last a kill.
func (p *guarded) stop(ctx context.Context, mode StopMode) error {
	if mode == Fast {
		if p.signalAndWait(ctx, signalFast, fastPatience) {
			return nil
		}
	}
	hard := context.WithoutCancel(ctx)
	if p.signalAndWait(hard, signalImmediate, immediatePatience) {
		return nil
	}
	if p.signalAndWait(hard, syscall.SIGKILL, immediatePatience) {
		return nil
	}
	return fmt.Errorf("process %d does not end", p.pid)
}

// signalAndWait says whether the command ended within the time.
func (p *guarded) signalAndWait(ctx context.Context, sig syscall.Signal, patience time.Duration) bool {
	select {
	case <-p.done: // its process id may be another's by now
		return true
	default:
	}
	_ = signal(p.pid, sig) // a process that is gone shows in done
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return true
	case <-timer.C:
		return false
	case <-ctx.Done():
		return false
	}
}
