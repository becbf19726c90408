package auth

import (
	"context"
	"time"
)

// Run fetches until ctx ends, which is not an error. Call it once.
func (j *JWKS) Run(ctx context.Context) error {
	defer j.fetcher.client.CloseIdleConnections()
	defer j.end()
	for failures := 0; ; {
		j.begin()
		set, err := j.fetcher.fetch(ctx)
		if ctx.Err() != nil {
			return nil
		}
		j.finish(set, err)
		pause := j.options.Refresh
		if err != nil {
			pause = j.retry(failures)
			failures++
		} else {
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-j.wake:
			timer.Stop()
		}
	}
}

// retry is the pause after so many failures and one more.
func (j *JWKS) retry(failures int) time.Duration {
	return min(leastRetry<<min(failures, 10), mostRetry, j.options.Refresh)
}

// begin marks that a fetch is under way, for those who want one.
func (j *JWKS) begin() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.fetching == nil {
		j.fetching = make(chan struct{})
	}
	select {
	case <-j.wake: // asked for while the timer went off
	default:
	}
}

// finish takes a fetch's result and tells those who wait.
func (j *JWKS) finish(set *KeySet, err error) {
	j.mu.Lock()
	before, outage := j.set, j.state.Err != nil
	j.state.Err = err
	if err == nil {
		j.set = set
		j.state.LastSuccess = time.Now()
		j.state.Fetched++
	} else {
		j.state.Failed++
	}
	close(j.fetching)
	j.fetching = nil
	j.mu.Unlock()
	j.report(before, set, outage, err)
}

// report logs what has changed, once.
func (j *JWKS) report(before, set *KeySet, outage bool, err error) {
	switch {
	case err != nil && outage:
	case err != nil && before == nil:
		j.options.Log.Warn("the keys of tokens can't be fetched: tokens of these can't be checked", "error", err)
	case err != nil:
		j.options.Log.Warn("the keys of tokens can't be fetched: those of before serve on", "error", err, "keys", before.ids())
	case !set.same(before):
		j.options.Log.Info("keys of tokens fetched", "keys", set.ids(), "ignored", set.ignored)
	case outage:
		j.options.Log.Info("the keys of tokens can be fetched again", "keys", set.ids())
	}
}

// end lets go of those who wait.
func (j *JWKS) end() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.ended = true
	if j.fetching != nil {
		close(j.fetching)
		j.fetching = nil
	}
}
