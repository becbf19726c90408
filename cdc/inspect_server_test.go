package cdc

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
)

// inspectServer is a server of the test's own.
func inspectServer(t *testing.T, settings map[string]string) (*pgserver.Server, InspectOptions) {
	t.Helper()
	srv := pgtest.New(t, settings)
	return srv, InspectOptions{Publication: "walwire", Slot: "walwire", Manage: true}
}

// settingProblems leaves out what every empty server with a superuser shows.
func settingProblems(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool {
		return f.Severity == SeverityOK || f.Code == CodeSuperuser || f.Code == CodePublication
	})
}

func settingCodes(findings []Finding) []string {
	var codes []string
	for _, f := range settingProblems(findings) {
		codes = append(codes, f.Code)
	}
	return codes
}

func TestInspectSettings(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings map[string]string
		setup    string
		want     []string
		restart  bool
	}{
		{"WALLevel", map[string]string{"wal_level": "replica"}, "", []string{CodeWALLevel}, true},
		{"Timeouts", map[string]string{"wal_sender_timeout": "0", "max_slot_wal_keep_size": "-1"}, "",
			[]string{CodeKeepSizeUnbounded, CodeSenderTimeoutOff}, false},
		{"Slots", map[string]string{"max_replication_slots": "1", "max_slot_wal_keep_size": "1GB"},
			`SELECT pg_create_physical_replication_slot('other')`, []string{CodeSlotsFull}, true},
		{"IdleSlots", map[string]string{"idle_replication_slot_timeout": "1h", "max_slot_wal_keep_size": "1GB"}, "",
			[]string{CodeIdleSlotTimeout}, false},
		{"Senders", map[string]string{"max_wal_senders": "0", "max_slot_wal_keep_size": "1GB"}, "", []string{CodeSendersFull}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			needs(t, tt.want[0])
			srv, opts := inspectServer(t, tt.settings)
			conn := pgtest.MustConnect(t, srv.URL())
			if tt.setup != "" {
				pgtest.MustExec(t, conn, tt.setup)
			}
			findings := mustInspect(t, conn, opts)
			if got := settingCodes(findings); !slices.Equal(got, tt.want) {
				t.Fatalf("found %q, want %q:\n%s", got, tt.want, describe(findings))
			}
			for _, f := range settingProblems(findings) {
				runFinding(t, conn, f)
			}
			if tt.restart {
				if err := srv.Restart(t.Context(), pgserver.Fast); err != nil {
					t.Fatal(err)
				}
				conn = pgtest.MustConnect(t, srv.URL())
			}
			await(t, "the settings to be in force", func() bool { return len(settingCodes(mustInspect(t, conn, opts))) == 0 })
		})
	}
}

// Commits would hang if this were set from the start.
func TestInspectSynchronousStandby(t *testing.T) {
	srv, opts := inspectServer(t, map[string]string{"max_slot_wal_keep_size": "1GB"})
	conn := pgtest.MustConnect(t, srv.URL())
	pgtest.MustExec(t, conn, `ALTER SYSTEM SET synchronous_standby_names = 'FIRST 2 (s1, "walwire")'`)
	pgtest.MustExec(t, conn, `SELECT pg_reload_conf()`)
	var findings []Finding
	await(t, "the setting to be in force", func() bool {
		findings = mustInspect(t, conn, opts)
		return slices.Equal(settingCodes(findings), []string{CodeSynchronousStandby})
	})
	runFinding(t, conn, settingProblems(findings)[0])
	await(t, "the finding to be gone", func() bool { return len(settingCodes(mustInspect(t, conn, opts))) == 0 })
	var value string
	if err := conn.QueryRow(t.Context(), `SHOW synchronous_standby_names`).Scan(&value); err != nil || value != `FIRST 1 ("s1")` {
		t.Errorf("synchronous_standby_names = %s (%v), want s1 to have stayed", value, err)
	}
}

// A slot whose WAL was removed is found lost, and gone once dropped.
func TestInspectSlotLost(t *testing.T) {
	srv, opts := inspectServer(t, map[string]string{"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"})
	conn := pgtest.MustConnect(t, srv.URL())
	pgtest.MustExec(t, conn, `CREATE TABLE filler (v text)`)
	pgtest.MustExec(t, conn, `SELECT pg_create_logical_replication_slot('walwire', 'pgoutput')`)
	var findings []Finding
	await(t, "the slot to be lost", func() bool {
		pgtest.MustExec(t, conn, `INSERT INTO filler SELECT repeat('x', 1000) FROM generate_series(1, 1000)`)
		pgtest.MustExec(t, conn, `SELECT pg_switch_wal()`)
		pgtest.MustExec(t, conn, `CHECKPOINT`)
		findings = settingProblems(mustInspect(t, conn, opts))
		return len(findings) > 0
	})
	if len(findings) != 1 || findings[0].Code != CodeSlotLost {
		t.Fatalf("found:\n%s", describe(findings))
	}
	want := "max_slot_wal_keep_size allows"
	if srv.Version() >= 170000 {
		want += " (wal_removed)"
	}
	if !strings.HasSuffix(findings[0].Message, want) {
		t.Errorf("it says %q, want %q", findings[0].Message, want)
	}
	runFinding(t, conn, findings[0])
	if findings = settingProblems(mustInspect(t, conn, opts)); len(findings) > 0 {
		t.Errorf("after mending there is still:\n%s", describe(findings))
	}
}

// Since 18 a slot that nobody reads can be lost by that alone.
func TestInspectSlotIdle(t *testing.T) {
	needs(t, CodeIdleSlotTimeout)
	srv, opts := inspectServer(t, map[string]string{"idle_replication_slot_timeout": "1s", "max_slot_wal_keep_size": "1GB"})
	conn := pgtest.MustConnect(t, srv.URL())
	pgtest.MustExec(t, conn, `SELECT pg_create_logical_replication_slot('walwire', 'pgoutput')`)
	var findings []Finding
	await(t, "the slot to be lost", func() bool {
		pgtest.MustExec(t, conn, `CHECKPOINT`)
		findings = settingProblems(mustInspect(t, conn, opts))
		return slices.Equal(settingCodes(findings), []string{CodeIdleSlotTimeout, CodeSlotLost})
	})
	if says := findings[1].Message; !strings.HasSuffix(says, "allows (idle_timeout)") {
		t.Errorf("it says %q", says)
	}
	runFinding(t, conn, findings[1])
	if got := settingCodes(mustInspect(t, conn, opts)); !slices.Equal(got, []string{CodeIdleSlotTimeout}) {
		t.Errorf("after mending: found %q", got)
	}
}

// Since 17 it is said whether a failover takes the slot along.
func TestInspectSlotFailover(t *testing.T) {
	b := newInspectBench(t)
	says := func() string {
		for _, f := range mustInspect(t, b.conn, b.opts) {
			if f.Code == CodeSlot && f.Severity == SeverityOK {
				return f.Message
			}
		}
		return ""
	}
	pgtest.MustExec(t, b.admin, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, b.opts.Slot)
	if pgtest.Version(t) < 170000 {
		if said := says(); !strings.HasSuffix(said, "not in use") {
			t.Errorf("it says %q", said)
		}
		return
	}
	if said := says(); !strings.HasSuffix(said, "(failover is off)") {
		t.Errorf("it says %q", said)
	}
	pgtest.MustExec(t, b.admin, `SELECT pg_drop_replication_slot($1)`, b.opts.Slot)
	pgtest.MustExec(t, b.admin, `SELECT pg_create_logical_replication_slot($1, 'pgoutput', failover => true)`, b.opts.Slot)
	if said := says(); !strings.HasSuffix(said, "standbys carry it on (failover)") {
		t.Errorf("it says %q", said)
	}
}

// A pooler hands out cancel keys of its own. The relay does that and no more.
func TestInspectPooler(t *testing.T) {
	b := newInspectBench(t)
	conn := pgtest.MustConnect(t, relayURL(t, b.url))
	b.opts.DatabaseURL = ""
	if got := problems(mustInspect(t, conn, b.opts)); !slices.Equal(got, []string{CodePooler}) {
		t.Errorf("found %q, want %q", got, CodePooler)
	}
	if got := problems(mustInspect(t, b.conn, b.opts)); len(got) > 0 {
		t.Errorf("without the relay: found %q, want nothing", got)
	}
}

// relayURL relays one connection, with another process id in its cancel key.
func relayURL(t *testing.T, server string) string {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go relay(l, u.Host)
	u.Host = l.Addr().String()
	return u.String()
}

func relay(l net.Listener, server string) {
	front, err := l.Accept()
	if err != nil {
		return
	}
	defer front.Close()
	back, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer back.Close()
	go io.Copy(back, front)
	frontend := pgproto3.NewFrontend(back, nil)
	for {
		msg, err := frontend.Receive()
		if err != nil {
			return
		}
		if key, ok := msg.(*pgproto3.BackendKeyData); ok {
			key.ProcessID ^= 0x5a5a
		}
		raw, err := msg.Encode(nil)
		if err != nil {
			return
		}
		if _, err := front.Write(raw); err != nil {
			return
		}
	}
}

// What a pooler says to a replication connection, and what PostgreSQL says when
// pg_hba.conf keeps the role out, are told apart.
func TestInspectReplicationConnection(t *testing.T) {
	b := newInspectBench(t)
	pgtest.MustExec(t, b.admin, `ALTER ROLE `+b.role+` PASSWORD 'other'`)
	if got := problems(mustInspect(t, b.conn, b.opts)); !slices.Equal(got, []string{CodeReplicationConnect}) {
		t.Errorf("found %q, want %q", got, CodeReplicationConnect)
	}
}

// A standby is refused, whatever else is so.
func TestInspectStandby(t *testing.T) {
	primary, opts := inspectServer(t, map[string]string{"max_slot_wal_keep_size": "1GB"})
	standby := startStandby(t, primary)
	if got := settingCodes(mustInspect(t, standby, opts)); !slices.Equal(got, []string{CodeStandby}) {
		t.Errorf("found %q, want %q", got, CodeStandby)
	}
}

// startStandby copies the primary and runs the copy as a hot standby. It needs no
// more than a server: pg_basebackup is not beside every server's programs, and one
// of another version may not do.
func startStandby(t *testing.T, primary *pgserver.Server) *pgx.Conn {
	t.Helper()
	root, err := os.MkdirTemp("", "walwire-standby-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	info, err := os.Stat(primary.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.Chown(root, int(owner.Uid), int(owner.Gid)); err != nil {
		t.Fatal(err)
	}
	run := func(program string, args ...string) *exec.Cmd {
		cmd := exec.Command(filepath.Join(primary.BinDir(), program), args...)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
		}
		cmd.Dir = root
		return cmd
	}
	data := filepath.Join(root, "data")
	backup(t, primary, data)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	var log strings.Builder
	server := run("postgres", "-D", data, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="+root)
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGQUIT)
		server.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	u, err := url.Parse(primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = "127.0.0.1:" + port
	var conn *pgx.Conn
	await(t, "the standby to accept connections", func() bool {
		conn, err = pgx.Connect(t.Context(), u.String())
		return err == nil
	})
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// backup copies the files of a running server, as one that will follow it.
func backup(t *testing.T, primary *pgserver.Server, data string) {
	t.Helper()
	conn := pgtest.MustConnect(t, primary.URL())
	start, stop := `SELECT pg_backup_start('standby', true)`, `SELECT labelfile FROM pg_backup_stop()`
	if primary.Version() < 150000 {
		start, stop = `SELECT pg_start_backup('standby', true, false)`, `SELECT labelfile FROM pg_stop_backup(false)`
	}
	pgtest.MustExec(t, conn, start)
	if out, err := exec.Command("cp", "-a", primary.DataDir(), data).CombinedOutput(); err != nil {
		t.Fatalf("copy the primary: %v\n%s", err, out)
	}
	var label string
	if err := conn.QueryRow(t.Context(), stop).Scan(&label); err != nil {
		t.Fatalf("end the backup: %v", err)
	}
	os.Remove(filepath.Join(data, "postmaster.pid"))
	slots, err := filepath.Glob(filepath.Join(data, "pg_replslot", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots {
		os.RemoveAll(slot)
	}
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	for name, text := range map[string]string{"backup_label": label, "standby.signal": "",
		"postgresql.auto.conf": "primary_conninfo = '" + primary.URL() + "'\n"} {
		file := filepath.Join(data, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(file, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// Text is compared by its octets in UTF8.
func TestInspectEncoding(t *testing.T) {
	srv, opts := inspectServer(t, map[string]string{"max_slot_wal_keep_size": "1GB"})
	pgtest.MustExec(t, pgtest.MustConnect(t, srv.URL()), `CREATE DATABASE koi ENCODING 'KOI8R' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`)
	findings := mustInspect(t, pgtest.MustConnect(t, pgtest.WithDatabase(t, srv.URL(), "koi")), opts)
	if got := settingCodes(findings); !slices.Equal(got, []string{CodeEncoding}) {
		t.Errorf("found %q:\n%s", got, describe(findings))
	}
}
