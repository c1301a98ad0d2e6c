package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"
)

var june = time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)

// An issuer signs certificates; its own may be signed by another.
type issuer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// issue makes a certificate that is valid from begin to end, in months from june.
func (a *issuer) issue(t *testing.T, isCA bool, begin, end int) *issuer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: rand.Text()},
		NotBefore: june.AddDate(0, begin, 0), NotAfter: june.AddDate(0, end, 0),
		DNSNames: []string{"repo.example"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, IsCA: isCA, BasicConstraintsValid: true}
	parent, signer := c, key
	if a != nil {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issuer{cert, key}
}

// shake connects, and says how the client takes the server's certificate.
func shake(t *testing.T, client *tls.Config, chain ...*issuer) error {
	t.Helper()
	pair := tls.Certificate{PrivateKey: chain[0].key}
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.cert.Raw)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			defer c.Close()
			tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
		}
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return tls.Client(c, client).Handshake()
}

// TestFromFloor: only the beginning of a certificate is judged otherwise than crypto/tls does.
func TestFromFloor(t *testing.T) {
	root := (*issuer)(nil).issue(t, true, -60, 60)
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	foreign := (*issuer)(nil).issue(t, true, -60, 60)
	young := root.issue(t, true, 2, 24)
	old := root.issue(t, true, -24, 1)
	for _, tt := range []struct {
		name, server, ip string
		chain            []*issuer
		ok               bool
	}{
		{"valid at the floor", "repo.example", "", []*issuer{root.issue(t, false, -1, 1)}, true},
		{"renewed after the floor", "repo.example", "", []*issuer{root.issue(t, false, 1, 3)}, true},
		{"renewed long after, by a young authority", "repo.example", "", []*issuer{young.issue(t, false, 3, 6), young}, true},
		{"an older one of a young authority", "repo.example", "", []*issuer{young.issue(t, false, 1, 6), young}, true},
		{"ended before the floor", "repo.example", "", []*issuer{root.issue(t, false, -3, -1)}, false},
		{"its authority ended before it began", "repo.example", "", []*issuer{old.issue(t, false, 2, 6), old}, false},
		{"another authority", "repo.example", "", []*issuer{foreign.issue(t, false, 1, 3)}, false},
		{"another name", "other.example", "", []*issuer{root.issue(t, false, 1, 3)}, false},
		{"another name, by an address", "192.0.2.2", "192.0.2.2", []*issuer{root.issue(t, false, 1, 3)}, false},
		{"by its address", "192.0.2.1", "192.0.2.1", []*issuer{root.issue(t, false, 1, 3)}, true},
		{"by an address that nobody told", "192.0.2.1", "", []*issuer{root.issue(t, false, 1, 3)}, false},
		{"the address counts for nothing where there is a name", "other.example", "192.0.2.1", []*issuer{root.issue(t, false, 1, 3)}, false},
		{"a self-signed one from the far future", "repo.example", "", []*issuer{(*issuer)(nil).issue(t, true, 600, 700)}, false},
	} {
		c := FromFloor(&tls.Config{RootCAs: pool, ServerName: tt.server}, func() time.Time { return june }, tt.ip)
		err := shake(t, c, tt.chain...)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v, want ok %v", tt.name, err, tt.ok)
		}
		if _, known := errors.AsType[*tls.CertificateVerificationError](err); err != nil && !known {
			t.Errorf("%s: %v is not what crypto/tls says", tt.name, err)
		}
	}
}

// TestFromFloorAtEachConnection: the floor may have risen since the last one.
func TestFromFloorAtEachConnection(t *testing.T) {
	root := (*issuer)(nil).issue(t, true, -60, 60)
	pool := x509.NewCertPool()
	pool.AddCert(root.cert)
	leaf := root.issue(t, false, 1, 3)
	floor := june
	c := FromFloor(&tls.Config{RootCAs: pool, ServerName: "repo.example", ClientSessionCache: tls.NewLRUClientSessionCache(4)},
		func() time.Time { return floor }, "")
	if err := shake(t, c, leaf); err != nil {
		t.Fatal(err)
	}
	floor = june.AddDate(0, 4, 0)
	if err := shake(t, c, leaf); err == nil {
		t.Error("an expired certificate counts")
	}
}
