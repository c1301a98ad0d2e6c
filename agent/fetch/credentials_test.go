package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// TestLostKeyFiles: a device whose files are lost or don't fit together starts, uses what works without them,
// and says what is wrong; once they are put right they count at once. A lost CA never means the system's
// authorities.
func TestLostKeyFiles(t *testing.T) {
	a := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	open := a.server(t, yes, nil)
	mutual := a.server(t, yes, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients })
	// As nginx does it: the handshake ends well, and the answer is 400 with a web page.
	lenient := a.server(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.TLS.PeerCertificates) == 0 || in2030.AddDate(1, 0, 0).Equal(r.TLS.PeerCertificates[0].NotAfter) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, "<html><center>No required SSL certificate was sent</center></html>")
			return
		}
		yes(w, r)
	}, func(c *tls.Config) { c.ClientAuth = tls.RequestClientCert })
	plain := "file://" + t.TempDir()
	if err := os.WriteFile(filepath.Join(strings.TrimPrefix(plain, "file://"), "timestamp.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := a.pair(t, "device")
	_, other := a.pair(t, "another")
	for _, tt := range []struct {
		name          string
		ca, cert, key []byte // nil: no such file
		told          string
		// what comes of each server: "" for success
		open, mutual, lenient agent.Reason
	}{
		{"all is in order", a.pem, cert, key, "", "", "", ""},
		{"no certificate", a.pem, nil, key, "cert", "", agent.ReasonCredentials, agent.ReasonCredentials},
		{"no key", a.pem, cert, nil, "key", "", agent.ReasonCredentials, agent.ReasonCredentials},
		{"another's key", a.pem, cert, other, "key", "", agent.ReasonCredentials, agent.ReasonCredentials},
		{"no ca", nil, cert, key, "ca", agent.ReasonCredentials, agent.ReasonCredentials, agent.ReasonCredentials},
		{"a broken ca", []byte("-----BEGIN CERTIFICATE-----\n"), cert, key, "ca", agent.ReasonCredentials, agent.ReasonCredentials, agent.ReasonCredentials},
	} {
		dir := t.TempDir()
		c := Config{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem"), Now: at(in2030)}
		for path, b := range map[string][]byte{c.CA: tt.ca, c.Cert: tt.cert, c.Key: tt.key} {
			if b != nil {
				write(t, path, b)
			}
		}
		for base, want := range map[string]agent.Reason{open.URL: tt.open, mutual.URL: tt.mutual, lenient.URL: tt.lenient, plain: ""} {
			r := newRepo(t, base, c)
			_, err := r.Metadata(t.Context(), "timestamp.json", 10)
			if reasonOf(err) != want || want == "" && err != nil {
				t.Errorf("%s: %s: %v, want reason %q", tt.name, base, err, want)
			}
			if err != nil && !strings.Contains(err.Error(), tt.told) {
				t.Errorf("%s: %q does not name %s", tt.name, err, tt.told)
			}
			p := r.Credentials()
			if (p != nil) != (tt.told != "") || p != nil && (p.Reason != agent.ReasonCredentials || !strings.Contains(p.Text, tt.told)) {
				t.Errorf("%s: the status says %v", tt.name, p)
			}
			if (CheckKeys(c) != nil) != (tt.told != "") {
				t.Errorf("%s: config check says %v", tt.name, CheckKeys(c))
			}
			if tt.told == "" || want == "" {
				continue
			}
			for path, b := range map[string][]byte{c.CA: a.pem, c.Cert: cert, c.Key: key} {
				write(t, path, b)
			}
			if _, err := r.Metadata(t.Context(), "timestamp.json", 10); err != nil || r.Credentials() != nil {
				t.Errorf("%s: put right: %v, %v", tt.name, err, r.Credentials())
			}
			for path, b := range map[string][]byte{c.CA: tt.ca, c.Cert: tt.cert, c.Key: tt.key} {
				os.Remove(path)
				if b != nil {
					write(t, path, b)
				}
			}
		}
	}
}

// TestOwnCertificateHasExpired: a server that refuses says no more than "bad certificate", so the device says
// what it is.
func TestOwnCertificateHasExpired(t *testing.T) {
	a := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	late := in2030.AddDate(0, 4, 0)
	cert, key := a.pair(t, "device")
	dir := t.TempDir()
	c := Config{CA: write(t, filepath.Join(dir, "ca.pem"), a.pem), Cert: write(t, filepath.Join(dir, "cert.pem"), cert), Key: write(t, filepath.Join(dir, "key.pem"), key)}
	s := a.server(t, yes, func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients
		c.Time = at(late)
	})
	// The server's own certificate is of the same months: by a clock that counts on, the device would refuse it first.
	c.Now = at(in2030.AddDate(0, 3, 0))
	r := newRepo(t, s.URL, c)
	if r.Credentials() != nil {
		t.Errorf("in time: %v", r.Credentials())
	}
	now := in2030
	c.Now = func() time.Time { return now }
	r = newRepo(t, s.URL, c)
	if _, err := r.Metadata(t.Context(), "timestamp.json", 10); reasonOf(err) != agent.ReasonTLS {
		t.Errorf("refused for another reason: %v, want reason tls", err)
	}
	r.wire.tls.Certificates[0].Leaf.NotAfter = now.Add(-time.Hour) // as the device reads it
	_, err := r.Metadata(t.Context(), "timestamp.json", 10)
	if reasonOf(err) != agent.ReasonCredentials || !strings.Contains(err.Error(), "expired") || !strings.Contains(err.Error(), "cert.pem") {
		t.Errorf("%v: want reason credentials, and that cert.pem has expired", err)
	}
	if p := r.Credentials(); p == nil || !strings.Contains(p.Text, "expired") {
		t.Errorf("the status says %v", p)
	}
}
