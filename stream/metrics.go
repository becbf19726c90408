package stream

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what the hub and its sessions do. Register hands them to a
// registry; without one they just count.
type Metrics struct {
	Transactions, Changes, NullCompany prometheus.Counter
	Snapshots, Rereads, Resets         prometheus.Counter
	Resumes, Refills, Gaps             prometheus.Counter
	RowBytes, ChainBytes               prometheus.Gauge
	LogBytes, LogTransactions          prometheus.Gauge
	Overflows, Mismatches              prometheus.Counter
	FramesOut, BytesOut                prometheus.Counter
	Connections                        *prometheus.GaugeVec
	Companies, Views                   prometheus.Gauge
	Quarantined                        prometheus.Gauge
	RightsChanged, Throttled, Merges   prometheus.Counter
	Closes                             *prometheus.CounterVec
	Latency                            prometheus.Histogram
	Errors                             *prometheus.CounterVec
	Events, EventErrors                prometheus.Counter
}

// NewMetrics makes a set of metrics, all zero.
func NewMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "walwire_" + name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "walwire_" + name, Help: help})
	}
	m := &Metrics{
		Transactions:    counter("transactions_total", "Transactions read from the WAL."),
		Changes:         counter("changes_total", "Row changes read from the WAL."),
		NullCompany:     counter("null_company_total", "Changes whose new row has no company: visible to nobody."),
		Snapshots:       counter("snapshots_total", "SELECTs run for hand-offs."),
		Rereads:         counter("rereads_total", "Live queries read again."),
		Resets:          counter("resets_total", "Subscriptions begun anew because their client had fallen behind the log."),
		Resumes:         counter("resumes_total", "Subscriptions that went on where their client had been, without a snapshot."),
		Refills:         counter("refills_total", "Windows read again because too few rows were left."),
		Gaps:            counter("gaps_total", "Points of the stream before which commits may be missing."),
		RowBytes:        gauge("row_bytes", "Octets of rows that live queries hold, about."),
		ChainBytes:      gauge("chain_bytes", "Octets of recent frames of live queries, from which slow clients catch up."),
		LogBytes:        gauge("log_bytes", "Octets of recent changes kept for clients that resume."),
		LogTransactions: gauge("log_transactions", "Recent transactions kept for clients that resume."),
		Overflows:       counter("inbox_overflows_total", "Companies read again because they could not keep up."),
		Mismatches:      counter("mismatches_total", "Rows about which two live queries disagreed: a fault of walwire."),
		RightsChanged:   counter("rights_changed_total", "Connections whose user's rights changed while they were open."),
		Throttled:       counter("frames_throttled_total", "Frames of clients that were read later because they came faster than limits.frames_per_second."),
		Merges:          counter("merges_total", "Frames of a live query that told several commits at once."),
		Events:          counter("events_total", "Named events found in the changes, once for all who hear the same."),
		EventErrors:     counter("event_errors_total", "Rows of which a rule for events could not be answered."),
		Closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walwire_closes_total", Help: "Connections ended by the server, by close code.",
		}, []string{"code"}),
		Latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "walwire_commit_to_write_seconds", Help: "From a commit's time to its frame's being written to a client, by the clocks of both servers.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}),
		FramesOut: counter("frames_out_total", "Frames written to clients."),
		BytesOut:  counter("bytes_out_total", "Octets of frames written to clients."),
		Connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "walwire_connections", Help: "Open authenticated connections, by transport.",
		}, []string{"transport"}),
		Companies:   gauge("companies", "Companies with a connection."),
		Views:       gauge("views", "Distinct live queries."),
		Quarantined: gauge("quarantined_tables", "Tables not served because a change could not be decoded."),
		Errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walwire_errors_total", Help: "Errors told to clients, by code.",
		}, []string{"code"}),
	}
	for _, via := range []string{viaWebSocket, viaSSE, viaPoll} {
		m.Connections.WithLabelValues(via) // shown from the start
	}
	return m
}

// Register adds the metrics to a registry.
func (m *Metrics) Register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		m.Transactions, m.Changes, m.NullCompany, m.Snapshots, m.Rereads, m.Resets, m.Resumes, m.Refills, m.Gaps,
		m.RowBytes, m.ChainBytes, m.LogBytes, m.LogTransactions, m.Overflows, m.Mismatches,
		m.RightsChanged, m.Throttled, m.Merges, m.Closes, m.Latency, m.FramesOut, m.BytesOut, m.Connections, m.Companies, m.Views, m.Quarantined, m.Errors,
		m.Events, m.EventErrors,
	} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
