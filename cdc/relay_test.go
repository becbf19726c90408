package cdc

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
)

// silentRelay is a way to PostgreSQL that can go silent: what is sent on it
// vanishes, and nobody is told. New connections pass.
type silentRelay struct {
	listener net.Listener
	server   string

	mu    sync.Mutex // protects following
	links []*relayLink

	// mute makes new connections go silent at their first query.
	mute atomic.Bool
	// alter changes what the server sends; nil: nothing.
	alter atomic.Pointer[func([]byte)]
}

type relayLink struct {
	ends   [2]net.Conn
	silent atomic.Bool
}

func newSilentRelay(t *testing.T, databaseURL string) (relay *silentRelay, through string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &silentRelay{listener: l, server: u.Host}
	var running sync.WaitGroup
	running.Go(func() { r.accept(&running) })
	t.Cleanup(func() {
		l.Close()
		r.mu.Lock()
		for _, link := range r.links {
			link.close()
		}
		r.mu.Unlock()
		running.Wait()
	})
	u.Host = l.Addr().String()
	return r, u.String()
}

func (r *silentRelay) accept(running *sync.WaitGroup) {
	for {
		front, err := r.listener.Accept()
		if err != nil {
			return
		}
		back, err := net.Dial("tcp", r.server)
		if err != nil {
			front.Close()
			continue
		}
		link := &relayLink{ends: [2]net.Conn{front, back}}
		r.mu.Lock()
		r.links = append(r.links, link)
		r.mu.Unlock()
		running.Go(func() { link.forward(front, back, &r.mute, new(atomic.Pointer[func([]byte)])) })
		running.Go(func() { link.forward(back, front, new(atomic.Bool), &r.alter) })
	}
}

func (l *relayLink) close() {
	for _, end := range l.ends {
		end.Close()
	}
}

// forward goes on reading where the link is silent, so that nobody notices. A
// silent link does not even say that its other end is gone.
func (l *relayLink) forward(from, to net.Conn, mute *atomic.Bool, alter *atomic.Pointer[func([]byte)]) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && buf[0] == 'Q' && mute.Load() {
			l.silent.Store(true)
		}
		if l.silent.Load() {
			if err != nil {
				return
			}
			continue
		}
		if change := alter.Load(); change != nil {
			(*change)(buf[:n])
		}
		if n > 0 {
			_, _ = to.Write(buf[:n])
		}
		if err != nil {
			l.close()
			return
		}
	}
}

// silence silences the present connections.
func (r *silentRelay) silence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, link := range r.links {
		link.silent.Store(true)
	}
}

func (r *silentRelay) accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.links)
}
