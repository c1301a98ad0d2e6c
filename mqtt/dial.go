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

	"github.com/ota-agent/ota-agent/files"
)

// Bounds of a connection. Half-open links are common behind mobile networks: the kernel notices them, since the
// library looks only once per keep-alive.
const (
	connectTimeout = 20 * time.Second
	// userTimeout is how long sent bytes may stay without an acknowledgement (TCP_USER_TIMEOUT).
	userTimeout = 30 * time.Second
	// credentialBytesMax bounds the certificate, key, CA and password files.
	credentialBytesMax = 1 << 20
)

// dial connects to the broker, with TLS where the config says so. Files are read at each call, so a
// rotated certificate counts from the next session on.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	dialer := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: userTimeout, Interval: 10 * time.Second, Count: 3},
		Control:         setUserTimeout,
	}
	conn, err := dialer.DialContext(ctx, "tcp", c.broker.address)
	if err != nil {
		return nil, fmt.Errorf("connecting to the broker: %w", err)
	}
	if !c.broker.tls {
		return conn, nil
	}
	config, err := c.tlsConfig()
	if err != nil {
		conn.Close()
		return nil, err
	}
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("TLS handshake with the broker %s: %w", c.broker.address, err)
	}
	return secured, nil
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
			return nil, fmt.Errorf("reading mqtt.ca: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("reading mqtt.ca: %s holds no certificate in PEM form", c.cfg.CA)
		}
	}
	if c.cfg.Cert == "" {
		return config, nil
	}
	cert, err := readCredential(c.cfg.Cert)
	if err != nil {
		return nil, fmt.Errorf("reading mqtt.cert: %w", err)
	}
	key, err := readCredential(c.cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("reading mqtt.key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("pairing mqtt.cert %s with mqtt.key %s: %w", c.cfg.Cert, c.cfg.Key, err)
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
		return "", fmt.Errorf("reading mqtt.password_file: %w", err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func readCredential(path string) ([]byte, error) { return files.Read(path, credentialBytesMax) }
