package agent_test

import (
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
)

// A fakeThrottle keeps the caps it is set to, and refuses those below 1000.
type fakeThrottle struct{ caps []int64 }

var errTooLow = errors.New("too low")

func (f *fakeThrottle) SetBandwidth(n int64) error {
	if n != 0 && n < 1000 {
		return errTooLow
	}
	f.caps = append(f.caps, n)
	return nil
}

// The operator's cap holds until the next start; what is refused changes nothing, and the status document says what is
// in force.
func TestBandwidth(t *testing.T) {
	d, throttle := emptyDevice{}, &fakeThrottle{}
	start := func(p agent.Ports) *agent.Agent {
		p.Store, p.Images, p.Repository, p.System, p.Random = d, d, d, d, func() float64 { return 1 }
		a, err := agent.New(agent.Config{BandwidthMax: 50_000}, p, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := start(agent.Ports{Throttle: throttle})
	rate := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		ask  *int64
		err  error
		want int64
	}{
		{rate(200_000), nil, 200_000}, {rate(999), errTooLow, 200_000}, {rate(-1), errTooLow, 200_000}, {rate(0), nil, 0}, {nil, nil, 50_000},
	} {
		if err := a.Obey(agent.Command{Name: "bandwidth", Bandwidth: c.ask}); !errors.Is(err, c.err) {
			t.Errorf("%v: %v, want %v", c.ask, err, c.err)
		}
		if _, err := a.Turn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := a.Status().Repository.Bandwidth; got != c.want {
			t.Errorf("after %v the status document says %d, want %d", c.ask, got, c.want)
		}
	}
	if want := []int64{200_000, 0, 50_000}; !slices.Equal(throttle.caps, want) {
		t.Errorf("the cap was set to %d, want %d", throttle.caps, want)
	}
	again := start(agent.Ports{})
	if got := again.Status().Repository.Bandwidth; got != 50_000 {
		t.Errorf("after a start the status document says %d, want the config's 50000", got)
	}
	if err := again.Obey(agent.Command{Name: "bandwidth"}); err == nil {
		t.Error("an agent without a throttle takes a cap")
	}
}
