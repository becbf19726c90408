package cdc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/walwire/walwire/internal/pgserver"
	"github.com/walwire/walwire/internal/pgtest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	template := template("an authority of the tests")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
}

func (a authority) pem() []byte { return encode("CERTIFICATE", a.cert.Raw) }

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// serve gives a server a new certificate of this authority.
func (a authority) serve(t *testing.T, s *pgserver.Server, b *bench, change func(*x509.Certificate)) {
	t.Helper()
	template := template("postgres")
	change(template)
	key := newKey(t)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.DataDir())
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	for name, text := range map[string][]byte{"server.crt": encode("CERTIFICATE", der), "server.key": encode("PRIVATE KEY", private)} {
		path := filepath.Join(s.DataDir(), name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil { // it may run as another account
			t.Fatal(err)
		}
	}
	b.exec(t, "ALTER SYSTEM SET ssl = on")
	b.exec(t, "SELECT pg_reload_conf()")
	await(t, "the server to show its certificate", func() bool {
		conn, err := Connect(t.Context(), b.url+"&"+verify(a.file(t)), "")
		if err != nil {
			return strings.Contains(err.Error(), "for other names")
		}
		return conn.Close(t.Context()) == nil
	})
}

// file holds the authority's certificate.
func (a authority) file(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, a.pem(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func verify(file string) string {
	return url.Values{"sslmode": {"verify-full"}, "sslrootcert": {file}}.Encode()
}

func forLoopback(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} }

// newTLSBench is a bench on a server of its own, which a test gives a certificate.
func newTLSBench(t *testing.T) (*bench, *pgserver.Server) {
	t.Helper()
	server := pgtest.New(t, nil)
	if server.DataDir() == "" {
		t.Skip("the server's files can't be reached: it runs in a container")
	}
	b := newBenchIn(t, server.URL())
	b.url = strings.ReplaceAll(b.url, "sslmode=disable", "application_name=test")
	b.opts.DatabaseURL = strings.ReplaceAll(b.opts.DatabaseURL, "sslmode=disable", "application_name=test")
	return b, server
}

// With sslmode=verify-full every connection is held to the server's name and authority,
// and a refusal says what to do.
func TestVerifyFull(t *testing.T) {
	b, server := newTLSBench(t)
	right, wrong := newAuthority(t), newAuthority(t)
	plain := b.opts.DatabaseURL
	refused := func(t *testing.T, want string) {
		t.Helper()
		s := newTestSnapshotter(t, b, SnapshotterOptions{})
		if err := s.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the pool: %v, want %q", err, want)
		}
		f := b.follow(t)
		await(t, "the consumer to be refused", func() bool { return strings.Contains(f.Status().Err.Error(), want) })
		if f.Status().Fatal {
			t.Error("the consumer gives up: a certificate may be replaced")
		}
	}
	t.Run("ErrOtherName", func(t *testing.T) {
		right.serve(t, server, b, func(c *x509.Certificate) { c.DNSNames = []string{"db.internal"} })
		b.opts.DatabaseURL = plain + "&" + verify(right.file(t))
		refused(t, "is for other names than database_url's host")
	})
	right.serve(t, server, b, forLoopback)
	t.Run("OK", func(t *testing.T) {
		b.opts.DatabaseURL = plain + "&" + verify(right.file(t))
		f := b.follow(t)
		f.connected(t)
		b.exec(t, "INSERT INTO t VALUES (1, 'a')")
		f.reach(t, b.now(t))
		var rows []string
		if _, err := newTestSnapshotter(t, b, SnapshotterOptions{}).Read(t.Context(), selectT(&rows)); err != nil || len(rows) != 1 {
			t.Errorf("rows %v, %v", rows, err)
		}
		var all, encrypted int
		err := b.admin.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = $1`, b.role).Scan(&all, &encrypted)
		if err != nil || all < 2 || encrypted != all {
			t.Errorf("%d of %d sessions are encrypted, %v", encrypted, all, err)
		}
	})
	t.Run("ErrOtherAuthority", func(t *testing.T) {
		b.opts.DatabaseURL = plain + "&" + verify(wrong.file(t))
		refused(t, "is not signed by an authority that database_url trusts")
	})
	t.Run("ErrNoFile", func(t *testing.T) {
		b.opts.DatabaseURL = plain + "&" + verify("/nowhere/ca.crt")
		wantFatal(t, b.follow(t), "parse database_url", "/nowhere/ca.crt")
	})
}

// Server's certificate, its authority and the password are replaced while walwire runs:
// what connects next uses them, and what can't connect meanwhile comes back by itself.
func TestCredentialsRotated(t *testing.T) {
	b, server := newTLSBench(t)
	first, second := newAuthority(t), newAuthority(t)
	first.serve(t, server, b, forLoopback)
	dir := t.TempDir()
	root, password := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "password")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	write(root, string(first.pem()))
	write(password, "x\n")
	u, err := url.Parse(b.opts.DatabaseURL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(b.role, "one that the file replaces")
	u.RawQuery = verify(root)
	b.opts.DatabaseURL, b.opts.PasswordFile = u.String(), password

	s := newTestSnapshotter(t, b, SnapshotterOptions{PasswordFile: password})
	f := b.follow(t)
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (1, 'a')")
	f.reach(t, b.now(t))
	gaps := len(f.gaps) // those of the start
	mustRead := func(rows int) {
		t.Helper()
		var got []string
		if _, err := s.Read(t.Context(), selectT(&got)); err != nil || len(got) != rows {
			t.Fatalf("rows %v, %v", got, err)
		}
	}
	mustRead(1)
	end := func() { b.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1", b.role) }
	refused := func(want string) {
		t.Helper()
		await(t, "the consumer to be refused", func() bool {
			err := f.Status().Err
			return err != nil && strings.Contains(err.Error(), want)
		})
		await(t, "a snapshot to be refused", func() bool { // the first finds connections that have ended
			_, err := s.Read(t.Context(), selectT(new([]string)))
			return err != nil && strings.Contains(err.Error(), want)
		})
	}

	b.exec(t, "ALTER ROLE "+b.role+" PASSWORD 'y'")
	mustRead(1) // what is open stays
	end()
	refused("28P01")
	write(password, "y")
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (2, 'b')")
	f.reach(t, b.now(t))
	mustRead(2)

	second.serve(t, server, b, forLoopback)
	end()
	refused("certificate signed by unknown authority")
	write(root, "half a file")
	refused("parse database_url")
	write(root, string(second.pem()))
	f.connected(t)
	b.exec(t, "INSERT INTO t VALUES (3, 'c')")
	f.reach(t, b.now(t))
	mustRead(3)

	if err := os.Remove(password); err != nil {
		t.Fatal(err)
	}
	end()
	refused("read database_password_file")
	write(password, "y")
	f.connected(t)
	if len(f.words()) != 3 || len(f.gaps) > gaps {
		t.Errorf("transactions %v, %d gaps", f.words(), len(f.gaps)-gaps)
	}
}

// A password file that can't be used is said at the start.
func TestPasswordFileErr(t *testing.T) {
	b := newBench(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{empty: "is empty: put the password there", "/nowhere/password": "no such file"} {
		b.opts.PasswordFile = file
		wantFatal(t, b.follow(t), "read database_password_file", want)
		if _, err := NewSnapshotter(t.Context(), SnapshotterOptions{DatabaseURL: b.opts.DatabaseURL, PasswordFile: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}
