package mqtt

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// pingTimeout is how long a ping may stay without any byte from the broker.
const pingTimeout = 15 * time.Second

// pingreq is a whole PINGREQ (MQTT 3.1.1, 3.12).
var pingreq = []byte{0xc0, 0}

// A pulse knows when a connection last sent something, and tells when something came.
type pulse struct {
	begun  time.Time
	sentAt *atomic.Int64 // since begun
	// came holds a token since something came; whoever waits empties it first.
	came chan struct{}
}

func newPulse() pulse {
	return pulse{begun: time.Now(), sentAt: new(atomic.Int64), came: make(chan struct{}, 1)}
}

func (p pulse) sent() { p.sentAt.Store(int64(time.Since(p.begun))) }

func (p pulse) received() {
	select {
	case p.came <- struct{}{}:
	default:
	}
}

// silence is how long nothing was sent.
func (p pulse) silence() time.Duration { return time.Since(p.begun) - time.Duration(p.sentAt.Load()) }

// keep pings the broker whenever nothing was sent for keepAlive, until ctx ends; an error says that no byte came back. Between two
// pings it sleeps: at rest that is one timer in each keepAlive, and no other packet but the ping and its answer.
func (g *guard) keep(ctx context.Context, keepAlive time.Duration) error {
	timer := time.NewTimer(keepAlive)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if left := keepAlive - g.silence(); left > 0 {
			timer.Reset(left)
			continue
		}
		select {
		case <-g.came:
		default:
		}
		if _, err := g.Write(pingreq); err != nil {
			return fmt.Errorf("ping the broker: %w", err)
		}
		timer.Reset(pingTimeout)
		select {
		case <-ctx.Done():
			return nil
		case <-g.came: // the answer, or another packet: the broker is there
		case <-timer.C:
			return fmt.Errorf("the broker did not answer a ping within %s", pingTimeout)
		}
		timer.Reset(keepAlive)
	}
}
