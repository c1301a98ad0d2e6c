package agent

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// A Lookout looks at the device's surroundings, for the gates. It decides nothing.
type Lookout interface {
	// Look may block, and ends with ctx. What can't be read is left out: an update may be what repairs it.
	Look(ctx context.Context) Surroundings
}

// Surroundings are what a Lookout saw.
type Surroundings struct {
	// Inhibitors hold updates back, by name; at most InhibitorsMax.
	Inhibitors []Inhibitor
	// Mains: there is power from outside.
	Mains bool
	// Battery is the charge of the emptiest battery that runs the device, in percent; -1 where there is none, or it can't tell.
	Battery int
	// Temperature is the highest one, in °C, where Thermometer says that there is one.
	Temperature int
	Thermometer bool
	// Metered: the link costs money.
	Metered bool
}

// Bounds of what inhibitors say.
const (
	InhibitorsMax     = 16
	InhibitorBytesMax = 200
)

// An Inhibitor is a file that holds updates back.
type Inhibitor struct {
	Name string
	// Text is the file's first line: why.
	Text string
}

// inhibitGate closes while there is an inhibitor.
func inhibitGate(list []Inhibitor, dir string) *Waiting {
	if len(list) == 0 {
		return nil
	}
	var all []string
	for _, i := range list {
		text := i.Name
		if i.Text != "" {
			text += " (" + i.Text + ")"
		}
		all = append(all, text)
	}
	return &Waiting{Reason: ReasonInhibited, Text: fmt.Sprintf("held back by %s in %s", strings.Join(all, ", "), dir)}
}

// batteryGate closes while the device runs on a battery that is below a charge.
func batteryGate(s Surroundings, percentMin int) *Waiting {
	if s.Mains || s.Battery < 0 || s.Battery >= percentMin {
		return nil
	}
	return &Waiting{Reason: ReasonBattery, Text: fmt.Sprintf("on battery, and below %d %%", percentMin)}
}

// temperatureGate closes while the device is too hot.
func temperatureGate(s Surroundings, celsiusMax int) *Waiting {
	if !s.Thermometer || s.Temperature <= celsiusMax {
		return nil
	}
	return &Waiting{Reason: ReasonTemperature, Text: fmt.Sprintf("hotter than %d °C", celsiusMax)}
}

// meteredGate closes while the link costs money.
func meteredGate(metered bool, file string) *Waiting {
	if !metered {
		return nil
	}
	return &Waiting{Reason: ReasonMetered, Text: "the link is metered, as " + file + " says"}
}

// An opinion is what the gate hook last said about one way.
type opinion struct {
	asked bool
	until time.Duration // uptime at which it is asked again
	no    *Problem      // nil: open
}

// Bounds of what a gate hook may ask for.
const (
	// hookFresh is how long its leave is good for: long enough to act on it, short enough to be about now.
	hookFresh = time.Minute
	// A hook that says no, and not until when, is asked again after hookAgain; what it says is bounded by the other two.
	hookAgain    = 5 * time.Minute
	hookAgainMin = 10 * time.Second
	hookAgainMax = 24 * time.Hour
)

// opinionOf is what an answer of the gate hook comes to.
func opinionOf(p *Problem, uptime time.Duration) opinion {
	o := opinion{asked: true, until: uptime + hookFresh, no: p}
	if p != nil {
		o.until = uptime + within(orElse(p.RetryAfter, hookAgain), hookAgainMin, hookAgainMax)
	}
	return o
}

// due reports whether the hook must be asked, again or at all.
func (o opinion) due(uptime time.Duration) bool { return !o.asked || uptime >= o.until }

// hookGate closes where the gate hook says so, and until it has been asked. A no stays one while it is asked again.
func hookGate(o opinion, uptime time.Duration) *Waiting {
	switch {
	case o.asked && o.no != nil:
		return &Waiting{Reason: ReasonGateHook, Text: o.no.Text, Left: SecondsOf(max(0, o.until-uptime))}
	case o.due(uptime):
		return &Waiting{Reason: ReasonLooking, Text: "the gate hook is being asked"}
	}
	return nil
}
