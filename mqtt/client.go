package mqtt

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// An Agent is what the client wakes and reports about.
type Agent interface {
	Outbox
	Status() agent.Status
	// Changed is closed when Status next says something new.
	Changed() <-chan struct{}
	// Wake does not block.
	Wake(agent.Wake)
}

// A Client keeps one session with the broker, for as long as Run runs.
type Client struct {
	cfg    Config
	broker broker
	agent  Agent
	log    *slog.Logger
	// unheard is how many sessions in a row ended in the middle of an event; only Run's goroutine uses it.
	unheard int
	// ackTimeout bounds the wait for the broker's answer to one packet.
	ackTimeout time.Duration
	// waited makes the pauses between sessions; tests that must not wait replace it.
	waited func(ctx context.Context, d time.Duration) error
}

// New checks cfg. It does not connect.
func New(cfg Config, a Agent, log *slog.Logger) (*Client, error) {
	cfg, b, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	log = log.With("broker", b.address)
	if !b.tls && cfg.PasswordFile != "" {
		log.Warn("the mqtt password travels in clear text", "hint", "use a tls:// broker")
	}
	return &Client{cfg: cfg, broker: b, agent: a, log: log, ackTimeout: ackTimeout, waited: pause}, nil
}

// Run holds a session with the broker, and opens the next one when it ends, until ctx ends. It returns ctx's error:
// no failure of the broker or the network ends it.
func (c *Client) Run(ctx context.Context) error {
	if jitter := time.Duration(c.cfg.Random() * float64(c.cfg.StartJitter)); jitter > 0 {
		if err := c.waited(ctx, jitter); err != nil {
			return err
		}
	}
	wait := backoff{spread: c.cfg.ReconnectSpread}
	for {
		end, err := c.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, thrown := wait.after(end, c.cfg.Random())
		if thrown {
			c.log.Warn("the mqtt broker accepts this client and throws it out again, time after time",
				"client_id", c.cfg.ClientID, "retry_in", d.Round(time.Second),
				"hint", "another client uses the same client ID (a cloned image?); or the broker crashes again and again, perhaps under its own fleet; or it forbids this device its topics")
		} else {
			c.log.Warn("no mqtt session", "err", err, "lived", end.lived.Round(time.Second), "retry_in", d.Round(time.Second))
		}
		if err := c.waited(ctx, d); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
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
