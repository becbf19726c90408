package schedule

import "github.com/prometheus/client_golang/prometheus"

// metrics count what a Runner does.
type metrics struct {
	runs        *prometheus.CounterVec
	rows        *prometheus.CounterVec
	lastSuccess *prometheus.GaugeVec
	running     prometheus.Gauge
}

const (
	resultOK    = "ok"
	resultError = "error"
)

// newMetrics makes those of the statements, all zero.
func newMetrics(statements []Statement) metrics {
	m := metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walwire_schedule_runs_total", Help: "Runs of a schedule's statement by this server, by result.",
		}, []string{"schedule", "result"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "walwire_schedule_rows_total", Help: "Rows that a schedule's statement wrote or, as a SELECT, found.",
		}, []string{"schedule"}),
		lastSuccess: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "walwire_schedule_last_success_timestamp_seconds", Help: "When this server last ran a schedule's statement without an error; 0: never.",
		}, []string{"schedule"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "walwire_schedules_running", Help: "1 on the server that runs the schedules.",
		}),
	}
	for _, s := range statements {
		m.runs.WithLabelValues(s.Name, resultOK)
		m.runs.WithLabelValues(s.Name, resultError)
		m.rows.WithLabelValues(s.Name)
		m.lastSuccess.WithLabelValues(s.Name)
	}
	return m
}

func (m metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m.runs, m.rows, m.lastSuccess, m.running} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}
