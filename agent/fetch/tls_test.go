package fetch

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// An authority issues certificates for the tests, all valid in the year 2030 only: no system clock helps.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var in2030 = time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)

func newAuthority(t *testing.T) *authority {
	a := &authority{}
	der, key := a.sign(t, "authority", true)
	a.key = key
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a
}

func (a *authority) sign(t *testing.T, name string, isCA bool) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: in2030.AddDate(0, -3, 0), NotAfter: in2030.AddDate(0, 3, 0),
		DNSNames: []string{"repo.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        isCA, BasicConstraintsValid: true,
	}
	parent, parentKey := c, key
	if a.cert != nil {
		parent, parentKey = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// pair is a certificate and key in PEM.
func (a *authority) pair(t *testing.T, name string) (cert, key []byte) {
	der, k := a.sign(t, name, false)
	b, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b})
}

func (a *authority) server(t *testing.T, h http.HandlerFunc, change func(*tls.Config)) *httptest.Server {
	t.Helper()
	pair, err := tls.X509KeyPair(a.pair(t, "server"))
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, Time: func() time.Time { return in2030 }}
	if change != nil {
		change(s.TLS)
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func write(t *testing.T, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func at(moment time.Time) func() time.Time { return func() time.Time { return moment } }

func newRepo(t *testing.T, base string, c Config) *Repository {
	t.Helper()
	c.Metadata, c.Targets, c.Proxy = []string{base}, []string{base}, "direct"
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func yes(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }

// TestTLSTrust: rauc#581, swupd-client#195: "certificate not yet valid" on a device without a clock. The
// effective time judges, not the system's.
func TestTLSTrust(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	ca := write(t, filepath.Join(dir, "ca.pem"), a.pem)
	foreign := write(t, filepath.Join(dir, "other.pem"), other.pem)
	s := a.server(t, yes, nil)
	old := a.server(t, yes, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
	plain := httptest.NewServer(http.HandlerFunc(yes))
	t.Cleanup(plain.Close)
	for _, tt := range []struct {
		name, base, ca string
		now            time.Time
		reason         agent.Reason
	}{
		{"the private authority", s.URL, ca, in2030, ""},
		{"another authority", s.URL, foreign, in2030, agent.ReasonTLS},
		{"the system's authorities", s.URL, "", in2030, agent.ReasonTLS},
		{"too early", s.URL, ca, in2030.AddDate(-1, 0, 0), agent.ReasonTLS},
		{"too late", s.URL, ca, in2030.AddDate(1, 0, 0), agent.ReasonTLS},
		{"another name", strings.Replace(s.URL, "127.0.0.1", "localhost", 1), ca, in2030, agent.ReasonTLS},
		{"TLS 1.1", old.URL, ca, in2030, agent.ReasonTLS},
		{"no TLS at all", strings.Replace(plain.URL, "http:", "https:", 1), ca, in2030, agent.ReasonTLS},
	} {
		r := newRepo(t, tt.base, Config{CA: tt.ca, Now: at(tt.now)})
		b, err := r.Metadata(t.Context(), "timestamp.json", 10)
		if reasonOf(err) != tt.reason || (err == nil) != (tt.reason == "") {
			t.Errorf("%s: %q, %v; want reason %q", tt.name, b, err, tt.reason)
		}
	}
}

// TestDowngradeRefused: a redirect from https to http is refused before anything is sent there.
func TestDowngradeRefused(t *testing.T) {
	a := newAuthority(t)
	var hits atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { hits.Add(1); yes(w, r) }))
	t.Cleanup(plain.Close)
	s := a.server(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, plain.URL+"/x?sig=secret", http.StatusFound)
	}, nil)
	r := newRepo(t, s.URL, Config{CA: write(t, filepath.Join(t.TempDir(), "ca.pem"), a.pem), Now: at(in2030)})
	_, err := r.Metadata(t.Context(), "timestamp.json", 10)
	if reasonOf(err) != agent.ReasonBadAnswer || hits.Load() != 0 || strings.Contains(err.Error(), "secret") ||
		!strings.Contains(err.Error(), plain.URL) {
		t.Errorf("%d requests at the lower scheme, %v", hits.Load(), err)
	}
}

// TestClientCertificate: shown to the repository, changed at once when the files rotate, kept while they don't
// fit together, and never shown to a host that a redirect names.
func TestClientCertificate(t *testing.T) {
	a := newAuthority(t)
	clients := x509.NewCertPool()
	clients.AddCert(a.cert)
	var seen, foreignSeen atomic.Value
	foreign := a.server(t, func(w http.ResponseWriter, r *http.Request) {
		foreignSeen.Store(len(r.TLS.PeerCertificates))
		yes(w, r)
	}, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequestClientCert, clients })
	s := a.server(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		if r.URL.Path == "/2.root.json" {
			http.Redirect(w, r, foreign.URL, http.StatusFound)
			return
		}
		yes(w, r)
	}, func(c *tls.Config) { c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, clients })

	dir := t.TempDir()
	ca, certPath, keyPath := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	write(t, ca, a.pem)
	firstCert, firstKey := a.pair(t, "first")
	secondCert, secondKey := a.pair(t, "the second")
	write(t, certPath, firstCert)
	write(t, keyPath, firstKey)
	r := newRepo(t, s.URL, Config{CA: ca, Cert: certPath, Key: keyPath, Now: at(in2030)})
	ask := func(name, want string) {
		t.Helper()
		if _, err := r.Metadata(t.Context(), name, 10); err != nil || seen.Load() != want {
			t.Errorf("%s: the server saw %v, want %s; %v", name, seen.Load(), want, err)
		}
	}
	ask("timestamp.json", "first")
	write(t, certPath, secondCert) // the key is still the first's
	ask("timestamp.json", "first")
	write(t, keyPath, secondKey)
	ask("timestamp.json", "the second")
	ask("2.root.json", "the second")
	if foreignSeen.Load() != 0 {
		t.Errorf("the foreign host saw %v certificates", foreignSeen.Load())
	}
	none := newRepo(t, s.URL, Config{CA: ca, Now: at(in2030)})
	if _, err := none.Metadata(t.Context(), "timestamp.json", 10); reasonOf(err) != agent.ReasonTLS {
		t.Errorf("without a certificate: %v, want reason tls", err)
	}
}

// TestHandshakeHangs: connected, and then nothing.
func TestHandshakeHangs(t *testing.T) {
	c := Config{Metadata: []string{"https://repo.example"}, Targets: []string{"https://repo.example"}}
	playRaw(t, c, func(conn net.Conn) { io.Copy(io.Discard, conn) }, func(t *testing.T, s *scene) {
		begun := time.Now()
		_, err := s.repo.Metadata(t.Context(), "timestamp.json", 100)
		if reasonOf(err) != agent.ReasonUnreachable || time.Since(begun) != 30*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

// TestRenewedCertificateWithoutAClock: a device that knows only a floor of the time reaches a server whose
// certificate begins later, by name, by address and through a proxy; a device with a clock still refuses it.
// All else is judged as ever.
func TestRenewedCertificateWithoutAClock(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	dir := t.TempDir()
	ca, foreign := write(t, filepath.Join(dir, "ca.pem"), a.pem), write(t, filepath.Join(dir, "other.pem"), other.pem)
	s := a.server(t, yes, nil)
	named := strings.Replace(s.URL, "127.0.0.1", "repo.example", 1)
	wrong := strings.Replace(s.URL, "127.0.0.1", "other.example", 1)
	byLoopback := strings.Replace(s.URL, "127.0.0.1", "127.0.0.2", 1)
	before := in2030.AddDate(-1, 0, 0)
	for _, tt := range []struct {
		name, base, ca string
		now            time.Time
		floor, proxied bool
		reason         agent.Reason
	}{
		{"a floor, by address", s.URL, ca, before, true, false, ""},
		{"a floor, by name", named, ca, before, true, false, ""},
		{"a floor, through a proxy", s.URL, ca, before, true, true, ""},
		{"a clock", s.URL, ca, before, false, false, agent.ReasonTLS},
		{"a clock, by name", named, ca, before, false, false, agent.ReasonTLS},
		{"a floor beyond its end", s.URL, ca, in2030.AddDate(1, 0, 0), true, false, agent.ReasonTLS},
		{"a floor, another authority", named, foreign, before, true, false, agent.ReasonTLS},
		{"a floor, the system's authorities", named, "", before, true, false, agent.ReasonTLS},
		{"a floor, another name", wrong, ca, before, true, false, agent.ReasonTLS},
		{"a floor, another address", byLoopback, ca, before, true, false, agent.ReasonTLS},
	} {
		c := Config{Metadata: []string{tt.base}, Targets: []string{tt.base}, CA: tt.ca, Now: at(tt.now), NowIsFloor: func() bool { return tt.floor }, Proxy: "direct"}
		if tt.proxied {
			w := openWay(t, httpWay)
			c.Proxy = "http://" + w.listener.Addr().String()
		}
		r, err := build(c, outside{lookup: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}, dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, strings.Replace(address, "127.0.0.2", "127.0.0.1", 1))
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a session may be taken up again
			if _, err = r.Metadata(t.Context(), "timestamp.json", 100); reasonOf(err) != tt.reason || tt.reason == "" && err != nil {
				t.Errorf("%s: %v, want reason %q", tt.name, err, tt.reason)
			}
			r.wire.CloseIdleConnections()
		}
		r.Close()
	}
}
