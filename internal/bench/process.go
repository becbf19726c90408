package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/walwire/walwire"
)

// What the reference configuration's variables are set to.
const (
	tokenIssuer   = "https://bench.example"
	tokenAudience = "walwire-bench"
	tokenKey      = "main"
)

// process is a server in a process of its own, so that what it uses can be told
// apart from what its clients use. It runs the reference configuration, for clients that all have one address.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	dir    string // of its files
	log    string // file
	listen string // where it is to listen
	secret string // that tokens are signed with
	url    string
	c      *cluster
	edit   func(config []byte) []byte
}

// startProcess runs a server on c until close. Its files are in dir.
func startProcess(ctx context.Context, command []string, c *cluster, dir string, edit func(config []byte) []byte) (*process, error) {
	p := &process{dir: dir, log: filepath.Join(dir, "server.log"), listen: "127.0.0.1:0", secret: randomSecret(), c: c, edit: edit}
	if err := p.run(ctx, command); err != nil {
		return nil, err
	}
	return p, nil
}

// run returns once the server serves.
func (p *process) run(ctx context.Context, command []string) error {
	if err := p.start(command); err != nil {
		return fmt.Errorf("run the server: %w", err)
	}
	a, err := p.order(ctx, orderReady)
	if err != nil {
		p.close(slog.New(slog.DiscardHandler))
		return err
	}
	p.url = a.URL
	return nil
}

// restart kills the server and runs it again, for the same clients.
func (p *process) restart(ctx context.Context, command []string) error {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.listen = p.address()
	return p.run(ctx, command)
}

var perClient = regexp.MustCompile(`(?m)^(  (?:connection_attempts_per_second|connection_attempts_burst|connections_per_address|connections_per_user|rows): )\d+`)

// fromOneAddress is a configuration under which all clients may come from one address
// and as one user, and have queries of many rows.
func fromOneAddress(config string) []byte {
	return perClient.ReplaceAll([]byte(config), []byte("${1}100000"))
}

var users = regexp.MustCompile(`(?m)^users:\n(?:  .*\n|\n)+`)

// byTokenAlone is a configuration under which tokens alone say who users are: else each
// user is a row to be read, and a live query of the server's own.
func byTokenAlone(config []byte) []byte {
	const last = "    client_id: client_id\n" // of the claims: the rules ask for a branch too
	return bytes.Replace(users.ReplaceAll(config, nil), []byte(last), []byte(last+"    branch_id: branch_id\n"), 1)
}

func (p *process) start(command []string) error {
	database, err := p.c.serverURL()
	if err != nil {
		return err
	}
	config := filepath.Join(p.dir, walwire.ExampleConfigName)
	if err := os.WriteFile(config, p.edit(fromOneAddress(walwire.ExampleConfig())), 0o600); err != nil {
		return err
	}
	log, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	args := append(slices.Clone(command[1:]), "--config", config)
	p.cmd = exec.Command(command[0], args...)
	p.cmd.Stderr = log
	p.cmd.Env = append(os.Environ(), "WALWIRE_DATABASE_URL="+database, "WALWIRE_LISTEN="+p.listen, "WALWIRE_ADMIN_LISTEN=off",
		"WALWIRE_TOKEN_SECRET="+p.secret, "WALWIRE_ISSUER="+tokenIssuer, "WALWIRE_AUDIENCE="+tokenAudience)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	p.out = bufio.NewReader(out)
	return p.cmd.Start()
}

// order has the process do something. One order at a time. The end of ctx ends
// the process with it.
func (p *process) order(ctx context.Context, order string) (answer, error) {
	stop := context.AfterFunc(ctx, func() { _ = p.cmd.Process.Kill() })
	defer stop()
	_, writeErr := io.WriteString(p.in, order+"\n")
	line, err := p.out.ReadBytes('\n')
	if err := errors.Join(writeErr, err); err != nil {
		if ctx.Err() != nil {
			return answer{}, ctx.Err()
		}
		return answer{}, fmt.Errorf("the server process does not answer: %w; its log ends:\n%s", err, p.tail())
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return answer{}, fmt.Errorf("order %s: %w", order, err)
	}
	if a.Error != "" {
		return answer{}, fmt.Errorf("order %s: %s", order, a.Error)
	}
	return a, nil
}

// tail is the end of the process's log.
func (p *process) tail() []byte {
	text, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return text[max(0, len(text)-2000):]
}

// close ends the process and waits for it.
func (p *process) close(log *slog.Logger) {
	_ = p.in.Close() // it ends by that, and may be gone already
	killer := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Kill() })
	defer killer.Stop()
	if err := p.cmd.Wait(); err != nil {
		log.Warn("the server process ended badly", "error", err, "log", string(p.tail()))
	}
}
