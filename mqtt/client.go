package mqtt

import (
	"context"
	"log/slog"
	"sync"
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
	// Broker says how the way to the broker is. It does not block.
	Broker(agent.BrokerStatus)
}

// A Client keeps one session with the broker, for as long as Run runs.
type Client struct {
	cfg    Config
	broker broker
	agent  Agent
	log    *slog.Logger
	// unheard is how many sessions in a row ended in the middle of an event, and shyUntil when sessions try
	// the proof again; only Run's goroutine uses them.
	unheard  int
	shyUntil time.Time
	// ackTimeout bounds the wait for the broker's answer to one packet.
	ackTimeout time.Duration
	// waited makes the pauses between sessions; tests that must not wait replace it.
	waited func(ctx context.Context, d time.Duration) error

	mu     sync.Mutex
	status agent.BrokerStatus // as told last
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
		c.show(agent.BrokerStarting, nil, jitter)
		if err := c.waited(ctx, jitter); err != nil {
			return err
		}
	}
	wait := backoff{spread: c.cfg.ReconnectSpread}
	var last *agent.Problem
	for {
		c.show(agent.BrokerConnecting, last, 0)
		end, err := c.session(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		d, thrown := wait.after(end, c.cfg.Random())
		last = problemOf(err)
		if thrown {
			last = &agent.Problem{Reason: agent.ReasonThrownOut, Err: err, Text: "the broker lets this client in and ends the session soon, time after time: " +
				"another client uses the client ID " + c.cfg.ClientID + " too (a cloned image?); or the broker crashes again and again, " +
				"perhaps under its own fleet; or it forbids this device its topics"}
		}
		c.log.Warn("no mqtt session", "client_id", c.cfg.ClientID, "reason", last.Reason, "err", last.Text, "lived", end.lived.Round(time.Second),
			"retry_in", d.Round(time.Second))
		c.show(agent.BrokerWaiting, last, d)
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
