package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sync/errgroup"

	"github.com/walwire/walwire/internal/app"
	"github.com/walwire/walwire/stream"
)

// The orders: one a line on a server process's stdin.
const (
	orderReady    = "ready"    // answer once the server serves
	orderUsage    = "usage"    // say what the process has used
	orderRest     = "rest"     // give back what memory is not needed, and say the same
	orderProfile  = "profile"  // begin a CPU profile
	orderProfiled = "profiled" // end it
)

// answer is what comes back on its stdout for each: JSON, one line.
type answer struct {
	Error string `json:"error,omitempty"`
	URL   string `json:"url,omitempty"`
	Usage usage  `json:"usage"`
	// Memory is what the runtime says, of orderRest.
	Memory struct {
		HeapAlloc, HeapInuse, StackInuse uint64
		Goroutines                       int
	} `json:"memory"`
	Snapshots int `json:"snapshots"` // SELECTs run for hand-offs
	// CPU and Allocs are profiles: of the CPU since orderProfile, and of all
	// allocations since the process began.
	CPU    []byte `json:"cpu,omitempty"`
	Allocs []byte `json:"allocs,omitempty"`
}

// Tuning is for a server that is measured. Its slot is kept from it for as long as WAL is
// written that it is to read.
func Tuning(unmerged bool) app.Tuning {
	return app.Tuning{Unmerged: unmerged, TakenPatience: time.Hour}
}

// Serve runs a server as `walwire serve` does, and obeys the bench's orders on
// in meanwhile. It ends when in does: a server never outlives its bench.
func Serve(ctx context.Context, server *app.App, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer cancel()
		return server.Run(ctx)
	})
	orders := make(chan string)
	go read(in, orders, ctx.Done())
	group.Go(func() error {
		defer cancel()
		c := control{server: server, out: json.NewEncoder(out)}
		return c.obey(ctx, orders)
	})
	return group.Wait()
}

// read hands on lines, and closes lines at the end of in. It can't be joined: a
// read of stdin ends with the process.
func read(in io.Reader, lines chan<- string, done <-chan struct{}) {
	defer close(lines)
	for s := bufio.NewScanner(in); s.Scan(); {
		select {
		case lines <- s.Text():
		case <-done:
			return
		}
	}
}

var errEnds = errors.New("the server ends")

// control obeys orders inside a server process.
type control struct {
	server *app.App
	out    *json.Encoder
	cpu    bytes.Buffer
	// counted is where the hub of now, or the last one, counts: there is none while the
	// server begins anew.
	counted *stream.Metrics
}

func (c *control) obey(ctx context.Context, orders <-chan string) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case order, ok := <-orders:
			if !ok {
				return nil
			}
			a, err := c.answer(ctx, order)
			if errors.Is(err, errEnds) {
				return nil // without an answer, so that the log is shown that says why
			}
			if err != nil {
				a.Error = err.Error()
			}
			if err := c.out.Encode(a); err != nil {
				return fmt.Errorf("answer the bench: %w", err)
			}
		}
	}
}

func (c *control) answer(ctx context.Context, order string) (a answer, err error) {
	switch order {
	case orderReady:
		select {
		case <-c.server.Ready():
			a.URL = c.server.URL()
		case <-ctx.Done():
			return a, errEnds
		}
	case orderUsage, orderRest:
		if order == orderRest {
			debug.FreeOSMemory()
			forgetPeak()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			a.Memory.HeapAlloc, a.Memory.HeapInuse, a.Memory.StackInuse, a.Memory.Goroutines = m.HeapAlloc, m.HeapInuse, m.StackInuse, runtime.NumGoroutine()
		}
		if a.Usage, err = ownUsage(); err == nil {
			a.Snapshots, err = c.snapshots()
		}
	case orderProfile:
		c.cpu.Reset()
		if a.Allocs, err = allocations(); err == nil {
			err = pprof.StartCPUProfile(&c.cpu)
		}
	case orderProfiled:
		pprof.StopCPUProfile()
		a.CPU = c.cpu.Bytes()
		a.Allocs, err = allocations()
	default:
		err = fmt.Errorf("unknown order %q", order)
	}
	return a, err
}

// snapshots is how many SELECTs the server has run for hand-offs.
func (c *control) snapshots() (int, error) {
	if hub := c.server.Hub(); hub != nil {
		c.counted = hub.Metrics
	}
	if c.counted == nil {
		return 0, nil
	}
	var m dto.Metric
	if err := c.counted.Snapshots.Write(&m); err != nil {
		return 0, fmt.Errorf("read a metric: %w", err)
	}
	return int(m.GetCounter().GetValue()), nil
}

func allocations() ([]byte, error) {
	var b bytes.Buffer
	if err := pprof.Lookup("allocs").WriteTo(&b, 0); err != nil {
		return nil, fmt.Errorf("write the profile of allocations: %w", err)
	}
	return b.Bytes(), nil
}
