package mqtt

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/ota-agent/ota-agent/agent"
)

// Bounds of a session.
const (
	// ackTimeout is the default of Client.ackTimeout.
	ackTimeout = 20 * time.Second
	// farewellTimeout bounds the wait for the acknowledgement of the last words of a session that this side ends.
	farewellTimeout = 3 * time.Second
	// quiesceMillis is how long Disconnect may take to send its packet.
	quiesceMillis = 250
	// subscribed and published at QoS 1: within a connection nothing is lost, and duplicates do no harm.
	qos = 1
	// subscriptionRefused is a SUBACK's return code (MQTT 3.1.1, 3.9.3).
	subscriptionRefused = 0x80
)

// errLost stands for a connection whose end the library could not explain.
var errLost = errors.New("connection lost")

// A session is one connection to the broker, on a library client of its own: one that is used twice keeps
// state of the first time.
type session struct {
	*Client
	paho  paho.Client
	proof *proof
	guard atomic.Pointer[guard] // nil until there is a connection
	// filters are what this session subscribes to.
	filters map[string]byte
	// denied is what the broker refuses of this session's subscriptions, or nil.
	denied *agent.Problem
	// acknowledged: the broker has let this client in.
	acknowledged bool
	// lost gets why the connection ended, once.
	lost chan error
}

// session connects, subscribes and reports until the connection or ctx ends.
func (c *Client) session(ctx context.Context) (outcome, error) {
	// The library's goroutines end with the connection, and the connection with life: not with ctx, after
	// which there is still a farewell to send.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s := &session{Client: c, proof: newProof(), filters: c.filters(), lost: make(chan error, 1)}
	options, err := s.options(ctx, life)
	if err != nil {
		return outcome{}, err
	}
	s.paho = paho.NewClient(options)
	err = s.open(ctx)
	opened, lived := err == nil, time.Duration(0)
	if opened {
		lived, err = s.hold(ctx, life)
	}
	s.leave(opened && ctx.Err() != nil)
	err = s.cause(err)
	return outcome{lived: lived, closed: closedByBroker(err), refused: refused(err)}, err
}

// hold reports until the connection or ctx ends, and pings meanwhile.
func (s *session) hold(ctx, life context.Context) (lived time.Duration, err error) {
	begun := time.Now()
	life, stop := context.WithCancel(life)
	var pinging sync.WaitGroup
	pinging.Go(func() {
		if err := s.guard.Load().keep(life, s.cfg.KeepAlive); err != nil {
			s.end(err)
		}
	})
	defer pinging.Wait()
	defer stop()
	s.log.Info("mqtt session", "client_id", s.cfg.ClientID)
	s.show(agent.BrokerUnproven, s.denied, 0)
	err = s.report(ctx)
	return max(time.Since(begun), 1), err
}

// leave ends the connection. A session that this side ends says first that the device is offline; unless the
// broker acknowledges that, the connection is cut rather than closed in order: the broker then publishes the
// last will, which says the same.
func (s *session) leave(inOrder bool) {
	if !inOrder || !s.farewell() {
		if g := s.guard.Load(); g != nil {
			g.Close()
		}
	}
	s.paho.Disconnect(quiesceMillis)
}

// cause says why the session ended: what the guard saw tells more than the library, which completes what is
// under way with an error of its own.
func (s *session) cause(err error) error {
	g := s.guard.Load()
	if g == nil {
		return err
	}
	if why := g.why(); why != nil && !errors.Is(err, why) {
		err = fmt.Errorf("%w: %w", err, why)
	}
	if !s.acknowledged {
		err = s.ownExpired(g.certificate, err)
	}
	return err
}

func (s *session) end(err error) {
	if err == nil {
		err = errLost
	}
	select {
	case s.lost <- err:
	default: // the first reason is the one that counts
	}
}

// report publishes the status whenever it says something new, and tells of events.
func (s *session) report(ctx context.Context) error {
	var told report
	quiet := time.Now().Add(hush(s.unheard))
	for {
		changed := s.agent.Changed() // before Status, or a change between the two is missed
		status := s.agent.Status()
		wait, due, err := told.due(status, time.Now())
		if err != nil {
			return fmt.Errorf("status document: %w", err)
		}
		if due && wait == 0 {
			if err := s.publishStatus(ctx, status); err != nil {
				return err
			}
			if err := told.published(status, time.Now()); err != nil {
				return fmt.Errorf("status document: %w", err)
			}
			continue
		}
		if hushed := time.Until(quiet); hushed <= 0 {
			if more, err := s.tell(ctx); err != nil {
				return err
			} else if more {
				continue
			}
		} else if wait == 0 || hushed < wait {
			wait = hushed
		}
		if err := s.idle(ctx, changed, wait); err != nil {
			return err
		}
	}
}

// idle waits for the next change or, where wait is not 0, until the last one is due: changes in between are then
// coalesced, unless they are news.
func (s *session) idle(ctx context.Context, changed <-chan struct{}, wait time.Duration) error {
	var due <-chan time.Time
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-changed:
		return nil
	case <-due:
		return nil
	case <-s.proof.come:
		s.proven()
		return nil
	case err := <-s.lost:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *session) publishStatus(ctx context.Context, status agent.Status) error {
	document, err := json.Marshal(status)
	if err != nil {
		return fmt.Errorf("status document: %w", err)
	}
	s.proof.expect(document)
	return s.publish(ctx, "status", true, document)
}

// publish sends a message below the device's topic and waits for its acknowledgement.
func (s *session) publish(ctx context.Context, name string, retained bool, payload []byte) error {
	token := s.paho.Publish(s.cfg.deviceTopic(name), qos, retained, payload)
	if err := s.wait(ctx, token, s.ackTimeout); err != nil {
		return fmt.Errorf("mqtt publish %s: %w", name, err)
	}
	return nil
}

// farewell says what the last will would, since an orderly end cancels the will. It returns whether the
// broker acknowledged it.
func (s *session) farewell() bool {
	ctx, cancel := context.WithTimeout(context.Background(), farewellTimeout)
	defer cancel()
	err := s.publish(ctx, "online", true, []byte("0"))
	if err != nil {
		s.log.Debug("mqtt farewell", "err", err)
	}
	return err == nil
}

// wait waits for a token, which by itself may never complete. While the guard skips a long body, the answer
// is behind it: most counts from its end. A body has 256 MiB at most, and its parts come one in each
// publishEvery.
func (s *session) wait(ctx context.Context, token paho.Token, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	for {
		select {
		case <-token.Done():
			return token.Error()
		case err := <-s.lost:
			s.end(err) // whoever waits next must see it too
			return err
		case <-timer.C:
			left := s.skips(most)
			if left <= 0 {
				return fmt.Errorf("no answer within %s", most)
			}
			timer.Reset(left)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// skips is how long most still takes from when a part of a body was skipped last; 0 where none was.
func (s *session) skips(most time.Duration) time.Duration {
	g := s.guard.Load()
	if g == nil || g.skippedAt.Load() == 0 {
		return 0
	}
	return most - (time.Since(g.begun) - time.Duration(g.skippedAt.Load()))
}
