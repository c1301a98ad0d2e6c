// Package certs verifies a server's certificate for a device that does not know what time it is, but only a
// time that has certainly passed (the floor). It takes the place of crypto/tls's own verification for that
// device alone, and differs in one point: a certificate that begins after the floor is not refused for that,
// since it may well have begun by now. One that ended before the floor is refused, as are a wrong name, a
// wrong authority and a chain that was never valid as a whole.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"time"
)

// chainMax bounds how many certificates of a server are looked at for their beginning; a chain has two or three.
const chainMax = 8

// FromFloor returns a copy of c that verifies from the floor on. A server's name comes from the connection;
// ip is the server's address where it is asked for by address, since TLS does not send that, and empty
// otherwise. Then a connection without a name is refused.
func FromFloor(c *tls.Config, floor func() time.Time, ip string) *tls.Config {
	c = c.Clone()
	c.Time = floor
	c.ClientSessionCache = nil  // each connection shows its certificates anew
	c.InsecureSkipVerify = true // VerifyConnection does it instead, at each handshake
	roots := c.RootCAs
	c.VerifyConnection = func(s tls.ConnectionState) error {
		name := s.ServerName
		if name == "" {
			name = ip
		}
		if err := verify(s.PeerCertificates, roots, name, floor()); err != nil {
			return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
		}
		return nil
	}
	return c
}

// verify looks for a moment, not before the floor, at which the chain is valid: the floor, or when one of its
// certificates begins.
func verify(chain []*x509.Certificate, roots *x509.CertPool, name string, floor time.Time) error {
	if len(chain) == 0 || name == "" {
		return errors.New("the server shows no certificate, or it is not known for which name")
	}
	o := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
	moments := []time.Time{floor}
	for i, c := range chain {
		if i > 0 {
			o.Intermediates.AddCert(c)
		}
		if i < chainMax && c.NotBefore.After(floor) {
			moments = append(moments, c.NotBefore)
		}
	}
	slices.SortFunc(moments, time.Time.Compare)
	var err error
	for _, at := range moments {
		o.CurrentTime = at
		if _, err = chain[0].Verify(o); err == nil {
			break
		}
	}
	return err
}
