package mqtt

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// An authority issues certificates that are valid in 2020 only, so that the machine's own clock can't help.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var (
	certBegins = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	certEnds   = time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)
)

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: certBegins, NotAfter: certEnds, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	pair := a.issue(a.cert)
	parsed, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	a.cert, a.key = parsed, pair.PrivateKey.(*ecdsa.PrivateKey)
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
	return a
}

// issue signs template with the authority's key, or with its own where there is none yet.
func (a *authority) issue(template *x509.Certificate) tls.Certificate {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (a *authority) leaf(name string) tls.Certificate {
	return a.issue(&x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: certBegins, NotAfter: certEnds, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
}

// write stores a certificate and its key as files in dir.
func (a *authority) write(dir string, c tls.Certificate) (cert, key string) {
	a.t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	a.put(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate[0]}))
	a.put(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return cert, key
}

func (a *authority) put(path string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func TestClientCertificateIsReadAtEachConnect(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	in2020 := func() time.Time { return certBegins.AddDate(0, 6, 0) }
	names := make(chan string, 100)
	b := startBroker(t, &tls.Config{
		Certificates: []tls.Certificate{a.leaf("broker")}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, Time: in2020,
		VerifyConnection: func(s tls.ConnectionState) error {
			names <- s.PeerCertificates[0].Subject.CommonName
			return nil
		},
	})
	cfg := testConfig("tls://" + b.address)
	cfg.Now, cfg.CA = in2020, filepath.Join(dir, "ca.pem")
	a.put(cfg.CA, a.pem)
	cfg.Cert, cfg.Key = a.write(dir, a.leaf("first"))
	start(t, cfg, silent())
	b.expect(t, "ota/device/board-1/status", nil)
	a.write(dir, a.leaf("second"))
	b.throwOut("board-1")
	b.expect(t, "ota/device/board-1/status", nil)
	if first, second := <-names, <-names; first != "first" || second != "second" {
		t.Errorf("came as %q, then %q", first, second)
	}
}

// Certificates are judged by the time that the agent believes, not by the machine's clock.
func TestTLSRefusals(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	b := startBroker(t, &tls.Config{Certificates: []tls.Certificate{a.leaf("broker")}})
	ca := filepath.Join(dir, "ca.pem")
	a.put(ca, a.pem)
	other, garbage := filepath.Join(dir, "other.pem"), filepath.Join(dir, "garbage.pem")
	a.put(other, newAuthority(t).pem)
	a.put(garbage, []byte("garbage"))
	in2020 := certBegins.AddDate(0, 6, 0)
	for _, c := range []struct {
		name, ca string
		now      time.Time
		want     string // in the log
	}{
		{"before the certificate", ca, certBegins.Add(-time.Hour), "not yet valid"},
		{"after the certificate", ca, certEnds.Add(time.Hour), "expired"},
		{"another authority", other, in2020, "unknown authority"},
		{"no certificate in the file", garbage, in2020, "garbage.pem holds no certificate"},
		{"no such file", filepath.Join(dir, "none.pem"), in2020, "none.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig("tls://" + b.address)
			cfg.CA, cfg.Now = c.ca, func() time.Time { return c.now }
			var text syncBuffer
			r := start(t, cfg, slog.New(slog.NewTextHandler(&text, nil)))
			<-r.pauses
			r.stop()
			if log := text.String(); !strings.Contains(log, c.want) {
				t.Errorf("the log does not say %q:\n%s", c.want, log)
			}
		})
	}
}

// A device that knows only a floor of the time reaches a broker whose certificate begins later. One with a
// clock refuses it.
func TestRenewedBrokerCertificateWithoutAClock(t *testing.T) {
	a := newAuthority(t)
	b := startBroker(t, &tls.Config{Certificates: []tls.Certificate{a.leaf("broker")}})
	for _, floor := range []bool{true, false} {
		cfg := testConfig("tls://" + b.address)
		cfg.CA = filepath.Join(t.TempDir(), "ca.pem")
		a.put(cfg.CA, a.pem)
		cfg.Now, cfg.NowIsFloor = func() time.Time { return certBegins.AddDate(-1, 0, 0) }, func() bool { return floor }
		c, err := New(cfg, newFakeAgent(), silent())
		if err != nil {
			t.Fatal(err)
		}
		conn, _, err := c.dial(t.Context())
		if (err == nil) != floor {
			t.Errorf("floor %v: %v", floor, err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// TestOwnCredentialsAreNamed: what is wrong with this device's own files is not the network's fault, and ends
// nothing but the session. A broker that refuses an expired certificate says no more than "bad certificate".
func TestOwnCredentialsAreNamed(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	in2020 := func() time.Time { return certBegins.AddDate(0, 6, 0) }
	b := startBroker(t, &tls.Config{Certificates: []tls.Certificate{a.leaf("broker")}, ClientCAs: pool,
		ClientAuth: tls.RequireAndVerifyClientCert, Time: in2020})
	ca := filepath.Join(dir, "ca.pem")
	a.put(ca, a.pem)
	put := func(name string, c tls.Certificate) string {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		a.write(at, c)
		return at
	}
	good := put("good", a.leaf("good"))
	other := put("other", a.leaf("other"))
	old := put("old", a.issue(&x509.Certificate{SerialNumber: big.NewInt(3), NotBefore: certBegins, NotAfter: certBegins.AddDate(0, 1, 0),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}))
	stranger := put("stranger", newAuthority(t).leaf("stranger"))
	for _, c := range []struct {
		name, cert, key, ca string
		reason              agent.Reason
		text                string
	}{
		{"no certificate", filepath.Join(dir, "none"), good, ca, agent.ReasonCredentials, "none"},
		{"another's key", good, other, ca, agent.ReasonCredentials, "pairing"},
		{"expired", old, old, ca, agent.ReasonCredentials, "has expired: it was valid until 2020-02-01"},
		{"of another authority", stranger, stranger, ca, agent.ReasonTLS, ""},
		{"no ca", good, good, filepath.Join(dir, "none.pem"), agent.ReasonCredentials, "none.pem"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig("tls://" + b.address)
			cfg.Now, cfg.CA, cfg.Cert, cfg.Key = in2020, c.ca, filepath.Join(c.cert, "cert.pem"), filepath.Join(c.key, "key.pem")
			r := start(t, cfg, silent())
			s := r.agent.state(t, "waiting", inState(agent.BrokerWaiting))
			if s.Reason != c.reason || !strings.Contains(s.Text, c.text) {
				t.Errorf("got %s: %s; want %s, and %q in the text", s.Reason, s.Text, c.reason, c.text)
			}
		})
	}
}
