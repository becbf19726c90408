package hostile_test

import (
	"slices"
	"testing"
	"time"
)

// A ratio of p99s beyond gross fails, where it is beyond what a busy machine explains.
const (
	gross     = 20
	explained = 10 * time.Second
)

// report prints how long commits took to a place's honest clients, from the moment that
// each was asked for.
func report(t *testing.T, p *place) {
	var took [phases][]time.Duration
	for _, h := range p.honest {
		for phase, all := range h.took {
			took[phase] = append(took[phase], all...)
		}
	}
	for _, all := range took {
		if len(all) == 0 {
			t.Errorf("%s: no commit was seen in one of the phases", p.name)
			return
		}
		slices.Sort(all)
	}
	quiet, busy := quantile(took[alone], 0.99), quantile(took[disturbed], 0.99)
	ratio := float64(busy) / float64(quiet)
	for phase, name := range [phases]string{"undisturbed", "beside the hostile cases"} {
		all := took[phase]
		t.Logf("%s, commit to client, %s: %d seen by %d clients, p50 %s, p99 %s, max %s", p.name, name, len(all), len(p.honest),
			quantile(all, 0.5).Round(10*time.Microsecond), quantile(all, 0.99).Round(10*time.Microsecond), all[len(all)-1].Round(10*time.Microsecond))
	}
	t.Logf("%s, commit to client: p99 beside the hostile cases is %.2f times the undisturbed one", p.name, ratio)
	if ratio > gross && busy > explained {
		t.Errorf("%s: the hostile cases delay honest clients grossly: p99 %s, undisturbed %s", p.name, busy, quiet)
	}
}

// quantile of sorted durations.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
