package cdc

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// syncStandbys is synchronous_standby_names, read apart.
type syncStandbys struct {
	method string // "", FIRST or ANY
	count  int    // 0: none was given
	names  []string
}

// parseSyncStandbys reads a value that the server has accepted.
func parseSyncStandbys(value string) syncStandbys {
	var s syncStandbys
	counted := regexp.MustCompile(`(?is)^\s*(?:(first|any)\s+)?(\d+)\s*\((.*)\)\s*$`)
	if m := counted.FindStringSubmatch(value); m != nil {
		s.method = strings.ToUpper(m[1])
		s.count, _ = strconv.Atoi(m[2]) // digits; one too large is the server's to refuse
		value = m[3]
	}
	name := regexp.MustCompile(`(?s)"(?:[^"]|"")*"|[^\s,"]+`)
	for _, n := range name.FindAllString(value, -1) {
		if strings.HasPrefix(n, `"`) {
			n = strings.ReplaceAll(n[1:len(n)-1], `""`, `"`)
		}
		s.names = append(s.names, n)
	}
	return s
}

// includes follows the server: names compare without case, and * is everyone.
func (s syncStandbys) includes(application string) bool {
	return slices.ContainsFunc(s.names, func(n string) bool {
		return n == "*" || strings.EqualFold(n, application)
	})
}

// without gives the setting's value with walwire left out, and others in the
// place of *. It never asks for more standbys than it names: commits would hang.
func (s syncStandbys) without(application string, others []string) string {
	var names []string
	for _, n := range s.names {
		switch {
		case n == "*":
			names = append(names, others...)
		case !strings.EqualFold(n, application):
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return ""
	}
	list := quoteList(slices.Compact(names))
	if s.count == 0 {
		return list
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d (%s)", s.method, min(s.count, len(names)), list))
}

// physicalSQL lists the connected physical standbys, where the role may see them.
const physicalSQL = `
SELECT DISTINCT r.application_name FROM pg_catalog.pg_stat_replication r
LEFT JOIN pg_catalog.pg_replication_slots s ON s.active_pid = r.pid
WHERE s.slot_type IS DISTINCT FROM 'logical' AND r.application_name <> 'pg_basebackup' ORDER BY 1`

// synchronousStandby: every walsender counts as a standby, a logical one too. As
// one that commits wait for, walwire would stop all writes when it stops.
func (in *inspection) synchronousStandby(ctx context.Context) ([]Finding, error) {
	standbys := parseSyncStandbys(in.server.SyncStandbys)
	if !standbys.includes(ApplicationName) {
		return nil, nil
	}
	rows, err := in.q.Query(ctx, physicalSQL)
	if err != nil {
		return nil, fmt.Errorf("list standbys: %w", err)
	}
	others, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list standbys: %w", err)
	}
	value := standbys.without(ApplicationName, others)
	hint := "Name the standbys that commits should wait for; check the list before running this."
	if value == "" {
		hint = "No other standby is named, or could be seen with this role, so this turns synchronous replication off. " + hint
	}
	return setting(SeverityFatal, CodeSynchronousStandby, "synchronous_standby_names",
		statements(alterSystem("synchronous_standby_names", quoteLiteral(value)), reloadConf), hint,
		"synchronous_standby_names (%s) includes %q: commits would wait for walwire, and hang while it is away",
		in.server.SyncStandbys, ApplicationName), nil
}
