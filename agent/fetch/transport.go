package fetch

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/ota-agent/ota-agent/agent/files"
)

// transport is net/http's, bounded. Its Client gets no overall time-out: that would kill a long download. It speaks
// HTTP/1.1 alone: one connection serves one request, so that closing it ends all that may hang on it.
func (w *wire) transport(t *tls.Config, dial dialer) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                  w.proxy,
		DialContext:            dial,
		OnProxyConnectResponse: refusedByProxy,
		TLSClientConfig:        t,
		TLSHandshakeTimeout:    w.cfg.TLSTimeout,
		ResponseHeaderTimeout:  w.cfg.HeaderTimeout,
		MaxResponseHeaderBytes: headerBytesMax,
		DisableCompression:     true, // a range and a length mean nothing on what was unpacked
		MaxIdleConnsPerHost:    2,
		IdleConnTimeout:        30 * time.Second, // the next poll is hours away
		Protocols:              &protocols,
	}
}

// keyFiles are the PEM files of a connection; each may be empty.
type keyFiles struct{ ca, cert, key string }

// stamp changes when a file does.
func (k keyFiles) stamp() string {
	var b strings.Builder
	for _, path := range []string{k.ca, k.cert, k.key} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			b.WriteString("none;")
			continue
		}
		inode := uint64(0)
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = uint64(s.Ino)
		}
		fmt.Fprintf(&b, "%d %d %d;", info.Size(), info.ModTime().UnixNano(), inode)
	}
	return b.String()
}

// config reads the files. now is the effective time: a device without a clock still judges certificates. What
// can't be used is a loss, and no reason to stop: without its CA no server is believed, and never the
// system's authorities instead; without its certificate the device is nobody, which some servers allow.
func (k keyFiles) config(now func() time.Time) (c *tls.Config, lost losses) {
	c = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		Time:               now,
		ClientSessionCache: newSessionCache(),
	}
	if k.ca != "" {
		c.RootCAs = x509.NewCertPool()
		pem, err := readPEM(k.ca)
		if err == nil && !c.RootCAs.AppendCertsFromPEM(pem) {
			err = fmt.Errorf("%s holds no certificate in PEM", k.ca)
		}
		if err != nil {
			lost.ca = fmt.Errorf("ca: %w", err)
		}
	}
	if k.cert != "" {
		pair, err := k.pair()
		if err != nil {
			lost.cert = err
		} else {
			c.Certificates = []tls.Certificate{pair}
		}
	}
	return c, lost
}

func (k keyFiles) pair() (tls.Certificate, error) {
	cert, err := readPEM(k.cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert: %w", err)
	}
	key, err := readPEM(k.key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert %s, key %s: %w", k.cert, k.key, err)
	}
	return pair, nil
}

// newSessionCache lets sessions be resumed, which spares a cellular link the certificates.
func newSessionCache() tls.ClientSessionCache { return tls.NewLRUClientSessionCache(8) }

func readPEM(path string) ([]byte, error) { return files.Read(path, pemBytesMax) }
