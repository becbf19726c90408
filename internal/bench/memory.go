package bench

import (
	"context"
	"encoding/json"
	"fmt"
)

const (
	memoryClients = 15_000
	memoryRows    = 20 // of a live query
	// memoryShared is how many clients have the same live query.
	memoryShared = 15
	memoryLimit  = 12 << 10
)

// measureMemory is row 6.
func measureMemory(ctx context.Context, o Options) (string, error) {
	if _, err := o.socketIOCommand(); err != nil {
		return "", err
	}
	n := o.scaled(memoryClients/600) * 600
	queries := n / memoryShared
	d := dataset{rows: queries * memoryRows, queries: queries, perCompany: 10}
	return onStage(ctx, o, d, func(s *stage) (string, error) {
		s.edit = byTokenAlone
		shared, err := s.idle(ctx, n, memoryShared)
		if err != nil {
			return "", err
		}
		peer, err := s.idleSocketIO(ctx, n)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("clients=%d queries=%d rows=%d walwire=%d octets/connection limit=%d socket.io=%d octets/connection of_socket.io=%.2f of_limit ratio %.2f",
			n, queries, memoryRows, shared, memoryLimit, peer, float64(shared)/float64(peer), float64(shared)/memoryLimit), nil
	})
}

// idle connects clients, so many to a live query, and gives what the server has resident for each
// once they rest.
func (s *stage) idle(ctx context.Context, n, shared int) (octets int64, err error) {
	if err := s.serve(ctx); err != nil {
		return 0, err
	}
	before, err := s.process.order(ctx, orderRest)
	if err != nil {
		return 0, err
	}
	a := &audience{
		company: func(n int) string { return s.data.companyOf(n / shared) },
		queries: func(n int) []string { return []string{s.data.query(n / shared)} },
		change:  func(*client, []byte) {},
	}
	if err := s.gather(ctx, n, a); err != nil {
		return 0, err
	}
	busy, err := s.process.order(ctx, orderUsage)
	if err != nil {
		return 0, err
	}
	after, err := s.process.order(ctx, orderRest)
	if err != nil {
		return 0, err
	}
	if want := n * memoryRows; a.rows != want {
		return 0, fmt.Errorf("the live queries show %d rows, not %d", a.rows, want)
	}
	s.log.Info("the server rests", "megabytes_before", before.Usage.Resident>>20, "megabytes_uncollected", busy.Usage.Resident>>20, "megabytes", after.Usage.Resident>>20,
		"heap", after.Memory.HeapAlloc>>20, "heap_in_use", after.Memory.HeapInuse>>20, "stacks", after.Memory.StackInuse>>20, "goroutines", after.Memory.Goroutines)
	profile := s.profiler("")
	return (after.Usage.Resident - before.Usage.Resident) / int64(n), profile.heap(ctx)
}

// idleSocketIO is the same of Socket.IO, whose clients show nothing.
func (s *stage) idleSocketIO(ctx context.Context, n int) (octets int64, err error) {
	s.endServer()
	p, err := s.startSocketIO()
	if err != nil {
		return 0, err
	}
	defer p.close()
	before, err := p.resident()
	if err != nil {
		return 0, err
	}
	if s.swarm, err = newSwarm(n, socketIO{func(*client, []byte) {}}); err != nil {
		return 0, err
	}
	defer s.endClients()
	if err := s.swarm.connect(ctx, p.address, dialing); err != nil {
		return 0, err
	}
	after, err := p.resident()
	return (after - before) / int64(n), err
}

// resident has the peer collect its garbage and say what it has resident.
func (p *peer) resident() (int64, error) {
	if err := p.order(map[string]bool{"rest": true}); err != nil {
		return 0, fmt.Errorf("ask Socket.IO: %w", err)
	}
	line, err := p.line()
	if err != nil {
		return 0, fmt.Errorf("ask Socket.IO: %w", err)
	}
	var answer struct{ Resident int64 }
	if err := json.Unmarshal([]byte(line), &answer); err != nil {
		return 0, fmt.Errorf("ask Socket.IO: %w", err)
	}
	return answer.Resident, nil
}
