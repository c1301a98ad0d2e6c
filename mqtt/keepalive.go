package mqtt

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

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

// keep pings the broker whenever nothing was sent for keepAlive, until ctx ends; an error says that since the
// ping before no byte has come. There is one timer in each keepAlive, and none for the answer, which would
// wake the CPU once more: a link that is dead the kernel notices, since the ping stays unacknowledged
// (userTimeout), and a broker that hangs the next ping.
func (g *guard) keep(ctx context.Context, keepAlive time.Duration) error {
	timer := time.NewTimer(keepAlive)
	defer timer.Stop()
	for pinged := false; ; pinged = true {
		for left := keepAlive; left > 0; left = keepAlive - g.silence() {
			timer.Reset(left)
			select {
			case <-ctx.Done():
				return nil
			case <-timer.C:
			}
		}
		select {
		case <-g.came:
		default:
			if pinged {
				return fmt.Errorf("the broker did not answer a ping within %s", keepAlive)
			}
		}
		if _, err := g.Write(pingreq); err != nil {
			return fmt.Errorf("ping the broker: %w", err)
		}
	}
}
