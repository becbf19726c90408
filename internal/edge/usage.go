package edge

import "github.com/prometheus/client_golang/prometheus"

// Describe implements prometheus.Collector. What is used of the limits is described by
// what Collect gives.
func (c *Connections) Describe(descs chan<- *prometheus.Desc) {
	c.refused.Describe(descs)
	descs <- usedDesc()
}

// Collect implements prometheus.Collector.
func (c *Connections) Collect(metrics chan<- prometheus.Metric) {
	c.refused.Collect(metrics)
	c.mu.Lock()
	most := map[string]float64{
		LimitAddress: share(c.addresses, c.limits.PerAddress),
		LimitUser:    share(c.users, c.limits.PerUser),
		LimitCompany: share(c.companies, c.limits.PerCompany),
	}
	c.mu.Unlock()
	for limit, used := range most {
		metrics <- prometheus.MustNewConstMetric(usedDesc(), prometheus.GaugeValue, used, limit)
	}
}

func usedDesc() *prometheus.Desc {
	return prometheus.NewDesc("walwire_limit_used_ratio",
		"What the one with the most connections (address, user or company) has of its limit; 1 is all of it.", []string{"limit"}, nil)
}

// share is the largest count as a part of the limit, 0 without one.
func share[K comparable](counts map[K]int, limit int) float64 {
	most := 0
	for _, n := range counts {
		most = max(most, n)
	}
	if limit == 0 {
		return 0
	}
	return float64(most) / float64(limit)
}
