package stream

import "sync"

// crew counts goroutines as a sync.WaitGroup does, but one may begin while the end of
// all is waited for: companies go on kicking writers while the server drains.
type crew struct {
	mu    sync.Mutex
	ended sync.Cond
	n     int // goroutines
}

func newCrew() *crew {
	c := new(crew)
	c.ended.L = &c.mu
	return c
}

// Go runs f as one of the crew.
func (c *crew) Go(f func()) {
	c.enter()
	go func() {
		defer c.exit()
		f()
	}()
}

func (c *crew) enter() {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
}

func (c *crew) exit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 {
		c.ended.Broadcast()
	}
}

// Wait returns when there is a moment in which nobody is left.
func (c *crew) Wait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.n > 0 {
		c.ended.Wait()
	}
}
