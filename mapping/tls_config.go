package mapping

import "github.com/goccy/go-yaml/ast"

// TLS says with which certificate to serve. The zero value serves plain HTTP.
type TLS struct {
	CertFile string // PEM: the server's own certificate, then those that signed it
	KeyFile  string // PEM, without a password
}

// Enabled reports whether there is a certificate.
func (t TLS) Enabled() bool { return t.CertFile != "" }

func (d *decoder) tls(n ast.Node, path string, t *TLS) {
	d.object(n, path,
		field{"cert_file", "give the PEM file of the certificate", d.pathField(&t.CertFile)},
		field{"key_file", "give the PEM file of the certificate's key", d.pathField(&t.KeyFile)},
	)
}

func (v *validator) tls(t TLS) {
	if (t.CertFile == "") != (t.KeyFile == "") {
		v.report("tls", "give both cert_file and key_file, or neither")
	}
}
