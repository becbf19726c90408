package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// socketIO is the protocol of Socket.IO 4's clients over WebSocket (Engine.IO 4): they
// are ready when they have joined the namespace, whose server has put them into the room.
type socketIO struct {
	event func(c *client, message []byte)
}

func (socketIO) request(*client) []byte {
	return upgradeRequest("/socket.io/?EIO=4&transport=websocket", "")
}

func (socketIO) opened(*client) []byte { return nil }

// Engine.IO's packets begin with their type; a message's goes on with Socket.IO's.
func (p socketIO) text(s *swarm, c *client, message []byte) error {
	switch {
	case bytes.HasPrefix(message, []byte("0")): // open
		return s.say(c, []byte("40"))
	case bytes.HasPrefix(message, []byte("2")): // ping
		return s.say(c, []byte("3"))
	case bytes.HasPrefix(message, []byte("40")): // connected
		s.isReady(c)
	case bytes.HasPrefix(message, []byte("42")): // an event
		p.event(c, message)
	default:
		return fmt.Errorf("want an event, got %.200s", message)
	}
	return nil
}

// socketIOCommand runs the server of bench/socketio.
func (o *Options) socketIOCommand() ([]string, error) {
	dir := filepath.Join(o.Peers, "socketio")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "socket.io")); err != nil {
		return nil, fmt.Errorf("Socket.IO is not installed in %s: run npm ci there, or make bench, or name the directory by --peers", dir)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, errors.New("Socket.IO needs Node.js 20 or newer, which was not found: install it")
	}
	return []string{node, "--expose-gc", filepath.Join(dir, "server.mjs")}, nil
}

func (s *stage) startSocketIO() (*peer, error) {
	command, err := s.options.socketIOCommand()
	if err != nil {
		return nil, err
	}
	return startPeer(command)
}

// socketIOClients connects n clients to a server, which the caller closes after them.
func (s *stage) socketIOClients(ctx context.Context, n int, event func(c *client, message []byte)) (*peer, error) {
	p, err := s.startSocketIO()
	if err != nil {
		return nil, err
	}
	s.log.Info("connecting clients to Socket.IO", "clients", n)
	if s.swarm, err = newSwarm(n, socketIO{event}); err == nil {
		err = s.swarm.connect(ctx, p.address, dialing)
	}
	if err != nil {
		s.endClients()
		p.close()
		return nil, err
	}
	return p, nil
}

// socketIOFanout is row 2's peer: the same row, emitted to a room.
func (s *stage) socketIOFanout(ctx context.Context, n int) (perSecond int, err error) {
	count := newFanout()
	p, err := s.socketIOClients(ctx, n, count.count)
	if err != nil {
		return 0, err
	}
	defer p.close()
	defer s.endClients()
	var row []byte
	err = s.cluster.conn.QueryRow(ctx, "SELECT row_to_json(a) FROM appointments a WHERE id = $1", id(appointmentPrefix, 0)).Scan(&row)
	if err != nil {
		return 0, fmt.Errorf("read the row that is told of: %w", err)
	}
	perSecond, err = count.rounds(ctx, s.swarm, n, func(k int) error {
		mark := fmt.Sprintf("#%d %d;", k, time.Now().UnixMicro())
		marks(row, func(change int, micros int64) {
			row = bytes.Replace(row, fmt.Appendf(nil, "#%d %d;", change, micros), []byte(mark), 1)
		})
		return p.order(map[string]any{"emit": string(row)})
	})
	if err != nil {
		return 0, err
	}
	return perSecond, count.exact()
}
