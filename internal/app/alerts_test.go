package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/walwire/walwire/internal/apptest"
	"github.com/walwire/walwire/mapping"
)

// alertFile is as much of Prometheus' rule files as docs/alerts.yml uses.
type alertFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []struct {
			Alert       string            `yaml:"alert"`
			Expr        string            `yaml:"expr"`
			For         string            `yaml:"for"`
			Labels      map[string]string `yaml:"labels"`
			Annotations map[string]string `yaml:"annotations"`
		} `yaml:"rules"`
	} `yaml:"groups"`
}

// Every metric and label value of docs/alerts.yml is one that a server has from its start.
func TestAlerts(t *testing.T) {
	text, err := os.ReadFile("../../docs/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file alertFile
	if err := yaml.UnmarshalWithOptions(text, &file, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := mapping.TLS{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	pool := writeCertificate(t, files)
	s := apptest.Start(t, notes(func(c *mapping.Config) {
		c.TLS = files
		c.Schedules = mapping.Schedules{DatabaseURL: c.DatabaseURL, Statements: []mapping.ScheduleConfig{everySecond("one", "SELECT 1")}}
	}))
	metrics := get(t, s.App.AdminURL()+"/metrics")
	seen := make(map[string]bool)
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || seen[rule.Alert] || rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("alert %q is not whole, or there twice", rule.Alert)
			}
			seen[rule.Alert] = true
			if _, err := time.ParseDuration(rule.For); rule.For != "" && err != nil {
				t.Errorf("%s: for: %v", rule.Alert, err)
			}
			if strings.Count(rule.Expr, "(") != strings.Count(rule.Expr, ")") {
				t.Errorf("%s: brackets don't match: %s", rule.Alert, rule.Expr)
			}
			names := regexp.MustCompile(`walwire_\w+(\{[^}]*\})?`).FindAllString(rule.Expr, -1)
			if len(names) == 0 {
				t.Errorf("%s is about no metric", rule.Alert)
			}
			for _, name := range names {
				labelled := strings.TrimSuffix(name, "}") // more labels may follow
				if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(labelled) + `[ {,}]`).MatchString(metrics) {
					t.Errorf("%s: there is no metric %s", rule.Alert, name)
				}
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("only the alerts %v", seen)
	}
	status(t, trusting(pool), "POST", s.URL()+"/v1/wait", "no token")
	if metrics := get(t, s.App.AdminURL()+"/metrics"); !strings.Contains(metrics, "\nwalwire_authentications_total{result=\"refused\"} 1\n") {
		t.Error("a refused token is not counted")
	}
	await(t, "readiness and lag in the metrics", func() bool {
		metrics := get(t, s.App.AdminURL()+"/metrics")
		return strings.Contains(metrics, "\nwalwire_ready 1\n") && strings.Contains(metrics, "\nwalwire_replication_lag_seconds 0\n")
	})
}
