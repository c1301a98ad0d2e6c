package mqtt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"github.com/ota-agent/ota-agent/agent"
)

// ownFile is the failure of a file that this device itself should have. It fails the connection: without its CA the
// system's authorities don't count instead, and without its certificate the client is nobody.
func ownFile(act string, err error) error {
	return &agent.Problem{Reason: agent.ReasonCredentials, Err: err,
		Text: fmt.Sprintf("%s: %v; polling goes on without the broker; put the file right, it is read again at the next attempt", act, err)}
}

// ownExpired names the client's own certificate as the cause where the broker refused and the certificate is
// out of its time. A broker says no more than "bad certificate", or hangs up.
func (c *Client) ownExpired(shown *x509.Certificate, err error) error {
	if shown == nil {
		return err
	}
	now, what := c.cfg.Now(), ""
	switch {
	case now.After(shown.NotAfter):
		what = "has expired: it was valid until " + shown.NotAfter.UTC().Format(time.RFC3339)
	case now.Before(shown.NotBefore) && (c.cfg.NowIsFloor == nil || !c.cfg.NowIsFloor()):
		what = "is not valid before " + shown.NotBefore.UTC().Format(time.RFC3339)
	default:
		return err
	}
	return &agent.Problem{Reason: agent.ReasonCredentials, Err: err,
		Text: fmt.Sprintf("the broker refused this device, whose own certificate %s %s, and it is %s here; renew it (%v)",
			c.cfg.Cert, what, now.UTC().Format(time.RFC3339), err)}
}

// reasonOf is the reason code of why a session ended or did not come about.
func reasonOf(err error) agent.Reason {
	var known *agent.Problem
	var packet *packetError
	switch {
	case errors.As(err, &known):
		return known.Reason
	case errors.As(err, &packet):
		return agent.ReasonBadAnswer
	case refused(err):
		return agent.ReasonBrokerRefused
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return agent.ReasonServerBusy
	case errors.Is(err, packets.ErrorRefusedBadProtocolVersion):
		return agent.ReasonUnsupported
	case ofTLS(err):
		return agent.ReasonTLS
	}
	return agent.ReasonUnreachable
}

// refused is true where the broker knows who the client says it is, and does not let it in.
func refused(err error) bool {
	return errors.Is(err, packets.ErrorRefusedNotAuthorised) || errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword) ||
		errors.Is(err, packets.ErrorRefusedIDRejected)
}

// ofTLS is true for a certificate that this side refused and for an alert that the broker sent.
func ofTLS(err error) bool {
	var ours *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var theirs *net.OpError
	return errors.As(err, &ours) || errors.As(err, &record) || errors.As(err, &theirs) && theirs.Op == "remote error"
}

// closedByBroker is true for the error of a connection that the other side closed, rather than one that the
// network or this side broke. A broker that throws a client out does no more than that in MQTT 3.1.1.
func closedByBroker(err error) bool {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return false
	}
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
