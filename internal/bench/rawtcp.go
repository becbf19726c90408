package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"time"
)

// The raw peer of row 2 is a process of its own that writes octets to TCP connections,
// and does nothing else.

// rawOrder is a line on its stdin: the frame to write to every connection, of which
// there are so many.
type rawOrder struct {
	Clients int    `json:"clients"`
	Frame   []byte `json:"frame"`
}

// ServeRaw listens on a free port of 127.0.0.1, prints where, and writes what in says to
// whoever is connected, until in ends.
func ServeRaw(in io.Reader, out io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	defer func() { _ = listener.Close() }()
	accepted := make(chan net.Conn, 1<<16) // nobody waits in the backlog until the first order
	var conns []net.Conn
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	if _, err := fmt.Fprintln(out, listener.Addr()); err != nil {
		return fmt.Errorf("say where it listens: %w", err)
	}
	for orders := json.NewDecoder(in); ; {
		var order rawOrder
		if err := orders.Decode(&order); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("read an order: %w", err)
		}
		for len(conns) < order.Clients {
			conns = append(conns, <-accepted)
		}
		var group sync.WaitGroup
		for share := range slices.Chunk(conns, len(conns)/runtime.GOMAXPROCS(0)+1) {
			group.Go(func() {
				for _, conn := range share {
					_, _ = conn.Write(order.Frame) // the client counts what it gets
				}
			})
		}
		group.Wait()
	}
}

// peer is a process that the clients of a row are connected to instead of walwire.
type peer struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
	address string
}

// startPeer runs a program that prints where it listens, as host:port.
func startPeer(command []string) (*peer, error) {
	p := &peer{cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Stderr = new(tail)
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if p.address, err = p.line(); err != nil {
		p.close()
		return nil, fmt.Errorf("run %s: %w: %s", command[0], err, p.cmd.Stderr)
	}
	return p, nil
}

func (p *peer) line() (string, error) {
	line, err := p.out.ReadString('\n')
	if err != nil {
		return "", err
	}
	return line[:len(line)-1], nil
}

func (p *peer) order(v any) error { return json.NewEncoder(p.in).Encode(v) }

// close ends the process: its stdin does.
func (p *peer) close() {
	_ = p.in.Close()
	killer := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Kill() })
	defer killer.Stop()
	_ = p.cmd.Wait() // what it was for was measured
}

// tail keeps the end of what is written to it.
type tail struct{ text []byte }

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	t.text = t.text[max(0, len(t.text)-2000):]
	return len(b), nil
}

func (t *tail) String() string { return string(t.text) }

// listening is the protocol of clients that say nothing.
type listening struct {
	message func(c *client, message []byte)
}

func (listening) request(*client) []byte { return nil }
func (listening) opened(*client) []byte  { return nil }
func (l listening) text(_ *swarm, c *client, message []byte) error {
	l.message(c, message)
	return nil
}

// rawFanout is row 2's raw figure: the same octets, by TCP alone.
func (s *stage) rawFanout(ctx context.Context, n, size int) (perSecond int, err error) {
	p, err := startPeer(s.options.Raw)
	if err != nil {
		return 0, err
	}
	defer p.close()
	count := newFanout()
	s.log.Info("connecting clients by TCP", "clients", n)
	if s.swarm, err = newSwarm(n, listening{count.count}); err != nil {
		return 0, err
	}
	defer s.endClients()
	if err := s.swarm.connect(ctx, p.address, dialing); err != nil {
		return 0, err
	}
	perSecond, err = count.rounds(ctx, s.swarm, n, func(k int) error {
		mark := fmt.Sprintf("#%d %d;", k, time.Now().UnixMicro())
		payload := append([]byte(mark), make([]byte, size-len(mark))...)
		return p.order(rawOrder{Clients: n, Frame: appendFrame(nil, payload)})
	})
	if err != nil {
		return 0, err
	}
	return perSecond, count.exact()
}
