package mqtt

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent/certs"
	"github.com/ota-agent/ota-agent/agent/files"
)

// Bounds of a connection.
const (
	connectTimeout = 20 * time.Second
	// userTimeout is how long sent bytes may stay without an acknowledgement (TCP_USER_TIMEOUT). At rest
	// nothing is sent, so it costs nothing then.
	userTimeout = 30 * time.Second
	// credentialBytesMax bounds the certificate, key, CA and password files.
	credentialBytesMax = 1 << 20
)

// dial connects to the broker, with TLS where the config says so, and returns the certificate that this side
// shows, or nil. Files are read at each call, so a rotated certificate counts from the next session on. The
// kernel sends no keep-alive probes: on a link that sleeps each one would wake the modem. A half-open link is
// found by a ping, each keep-alive, and by userTimeout.
func (c *Client) dial(ctx context.Context) (net.Conn, *x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dialer := net.Dialer{
		KeepAlive: -1, // off
		Control:   setUserTimeout,
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.broker.address)
	if err != nil {
		return nil, nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	if !c.broker.tls {
		return conn, nil, nil
	}
	config, err := c.tlsConfig()
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	var shown *x509.Certificate
	if len(config.Certificates) > 0 {
		shown = config.Certificates[0].Leaf
	}
	if c.cfg.NowIsFloor != nil && c.cfg.NowIsFloor() {
		config = certs.FromFloor(config, c.cfg.Now, c.broker.host)
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, nil, c.ownExpired(shown, fmt.Errorf("TLS handshake with the broker %s: %w", c.broker.address, err))
	}
	return secured, shown, nil
}

// setUserTimeout runs on the socket before it connects.
func setUserTimeout(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
	})
	return errors.Join(err, failed)
}

func (c *Client) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: c.broker.host, MinVersion: tls.VersionTLS12, Time: c.cfg.Now}
	if c.cfg.CA != "" {
		pem, err := readCredential(c.cfg.CA)
		if err != nil {
			return nil, ownFile("reading mqtt.ca", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, ownFile("reading mqtt.ca", fmt.Errorf("%s holds no certificate in PEM form", c.cfg.CA))
		}
	}
	if c.cfg.Cert == "" {
		return config, nil
	}
	cert, err := readCredential(c.cfg.Cert)
	if err != nil {
		return nil, ownFile("reading mqtt.cert", err)
	}
	key, err := readCredential(c.cfg.Key)
	if err != nil {
		return nil, ownFile("reading mqtt.key", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, ownFile(fmt.Sprintf("pairing mqtt.cert %s with mqtt.key %s", c.cfg.Cert, c.cfg.Key), err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

// password reads the password file; its last line break is not part of the password.
func (c *Client) password() (string, error) {
	if c.cfg.PasswordFile == "" {
		return "", nil
	}
	b, err := readCredential(c.cfg.PasswordFile)
	if err != nil {
		return "", ownFile("reading mqtt.password_file", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func readCredential(path string) ([]byte, error) { return files.Read(path, credentialBytesMax) }
