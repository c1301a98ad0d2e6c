package agent

import (
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/release"
)

// Gates is what the device maker lets hold updates back. Zero values are gates that do not exist.
type Gates struct {
	// Download and Install are the windows for either, by the clock on the wall in Zone; nil: UTC.
	Download, Install []Window
	Zone              *time.Location
	// InhibitDir and MeteredFile name for people what a Lookout looks at; empty: it does not.
	InhibitDir, MeteredFile string
	// BatteryMin is the charge in percent below which nothing is installed on battery.
	BatteryMin int
	// TemperatureMax is the temperature in °C above which nothing is installed.
	TemperatureMax int
	// Hook is an executable that may say no.
	Hook string
	// DeferMax is the uptime after which windows, a metered link and the gate hook hold nothing back any more; 0: never.
	DeferMax time.Duration
}

// What a gate holds back.
const (
	holdsBoth     = "both"
	holdsDownload = "download"
	holdsInstall  = "install"
)

// The gates by name, in the order in which they are asked. The last two are looked at only when all others are open.
const (
	gatePause       = "pause"
	gateInhibit     = "inhibit"
	gateRequires    = "requires"
	gateRollout     = "rollout"
	gateDownload    = "download_window"
	gateInstall     = "install_window"
	gateBudget      = "byte_budget"
	gateMetered     = "metered"
	gateBattery     = "battery"
	gateTemperature = "temperature"
	gateLook        = "look" // not in the status document: the others are stale
	gateHook        = "hook"
)

// defers says which gates a Deferral's age overrides: never those that guard the device, its data or the
// operator's word.
func defers(gate string) bool {
	return gate == gateDownload || gate == gateInstall || gate == gateMetered || gate == gateHook
}

// ends says which gates end a download that runs. The others are asked before it begins, or keep it by themselves.
func ends(gate string) bool {
	return gate == gateInhibit || gate == gateDownload || gate == gateMetered
}

// A gate is a verdict about one component and release.
type gate struct {
	GateStatus
	closed *Waiting // nil: open, or overridden
}

// gates asks all of them about a release; nil: none is offered.
func (e *engine) gates(c *live, rel *Release, now time.Time) []gate {
	var info release.Info
	id := ""
	if rel != nil {
		info, id = rel.Info(), rel.ID()
	}
	cfg, up := e.cfg.Gates, e.p.System.Uptime()
	_, synchronised := e.p.System.Clock()
	old := cfg.DeferMax > 0 && c.deferral.age(e.p.System.BootID(), up) >= cfg.DeferMax
	g := gatekeeper{now: now, before: c.gates, old: old, deferMax: cfg.DeferMax,
		urgent: info.Urgent && c.component != nil && c.component.UrgentSkipsWindows}

	g.ask(gatePause, holdsBoth, pauseGate(e.book.paused()))
	seen := e.survey.found
	if cfg.InhibitDir != "" {
		g.look(e, gateInhibit, holdsBoth, inhibitGate(seen.Inhibitors, cfg.InhibitDir), "")
	}
	if len(info.Requires) > 0 {
		g.ask(gateRequires, holdsInstall, e.requiresGate(c.name, info.Requires))
	}
	if info.Rollout != nil {
		g.ask(gateRollout, holdsDownload, rolloutGate(info.Rollout, e.cfg.Device.ID, id, now, e.signedAt(now)))
	}
	if len(cfg.Download) > 0 {
		g.ask(gateDownload, holdsDownload, windowGate("download", cfg.Download, cfg.Zone, now, synchronised))
	}
	if len(cfg.Install) > 0 {
		g.ask(gateInstall, holdsInstall, windowGate("installation", cfg.Install, cfg.Zone, now, synchronised))
	}
	if e.account != nil {
		g.ask(gateBudget, holdsDownload, budgetGate(e.account.status()))
	}
	if cfg.MeteredFile != "" {
		g.look(e, gateMetered, holdsDownload, meteredGate(seen.Metered, cfg.MeteredFile), "")
	}
	if cfg.BatteryMin > 0 {
		g.look(e, gateBattery, holdsInstall, batteryGate(seen, cfg.BatteryMin), powerWords(seen))
	}
	if cfg.TemperatureMax > 0 {
		g.look(e, gateTemperature, holdsInstall, temperatureGate(seen, cfg.TemperatureMax), temperatureWords(seen))
	}
	if e.surveyDue() {
		g.ask(gateLook, holdsBoth, &Waiting{Reason: ReasonLooking, Text: "looking at the device's surroundings"})
	}
	if cfg.Hook != "" {
		g.ask(gateHook, holdsDownload, hookGate(c.opinions[0], up))
		g.ask(gateHook, holdsInstall, hookGate(c.opinions[1], up))
	}
	return g.list
}

// A gatekeeper collects the verdicts.
type gatekeeper struct {
	now         time.Time
	before      []gate // for how long each verdict has held
	old, urgent bool
	deferMax    time.Duration
	list        []gate
}

func (g *gatekeeper) ask(name, holds string, closed *Waiting) *gate {
	x := gate{GateStatus: GateStatus{Gate: name, Holds: holds, Verdict: VerdictOpen}}
	window := name == gateDownload || name == gateInstall
	switch {
	case closed == nil:
	case g.urgent && window:
		x.Verdict, x.Text = VerdictOverridden, "the release is urgent"
	case g.old && defers(name):
		x.Verdict, x.Text = VerdictOverridden, fmt.Sprintf("updates have been held back for %s of uptime", g.deferMax)
	case closed.Reason == ReasonLooking:
		x.Verdict, x.Text = VerdictUnasked, "it is asked when all others are open"
		closed.gate, x.closed = name, closed
	default:
		x.Verdict, x.Reason, x.Text, x.Left = VerdictClosed, closed.Reason, closed.Text, closed.Left
		closed.gate, x.closed = name, closed
	}
	x.Since = g.now.Truncate(time.Second)
	for _, b := range g.before {
		if b.Gate == name && b.Holds == holds && b.Verdict == x.Verdict {
			x.Since = b.Since
		}
	}
	g.list = append(g.list, x)
	return &g.list[len(g.list)-1]
}

// look is ask for a gate that a Lookout serves, with the figure that it saw.
func (g *gatekeeper) look(e *engine, name, holds string, closed *Waiting, figure string) {
	x := g.ask(name, holds, closed)
	x.Figure = figure
	switch {
	case !e.survey.seen:
		x.Figure = "not looked at yet"
	case e.survey.failures > 0:
		x.Figure = "not known: the last look did not end"
	}
}

func powerWords(s Surroundings) string {
	words := "power from outside"
	if !s.Mains {
		words = "on battery"
	}
	switch {
	case s.Battery >= 0:
		return fmt.Sprintf("%s, %d %%", words, s.Battery)
	case !s.Mains:
		return "no power supply can be read, which holds nothing back"
	}
	return words
}

func temperatureWords(s Surroundings) string {
	if !s.Thermometer {
		return "no thermal zone can be read, which holds nothing back"
	}
	return fmt.Sprintf("%d °C", s.Temperature)
}

// firstOf is the first gate that is closed for a download or an installation, or nil.
func firstOf(list []gate, what string) *Waiting {
	for _, g := range list {
		if g.closed != nil && (g.Holds == what || g.Holds == holdsBoth) {
			return g.closed
		}
	}
	return nil
}
