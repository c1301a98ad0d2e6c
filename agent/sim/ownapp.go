package sim

import "time"

// launchStarts is how often a launcher starts a release on trial before it goes back to the one that was confirmed.
const launchStarts = 3

// restartsAgent: where the application is the agent, the service manager ends the process before the verb can
// say how it went.
func (b *board) restartsAgent(component, verb string) {
	if b.w.ownApp && component == app {
		b.w.note("the service manager restarts the agent in %s", verb)
		b.w.die(false)
	}
}

// launch is the launcher of an agent that is an application: it counts the starts of a release on trial, and
// reports whether the process lives for long enough to do anything.
func (w *World) launch() bool {
	b := w.boards[app]
	if b.booted == b.primary {
		b.starts = 0
	} else if b.starts++; b.starts > launchStarts {
		b.booted, b.try, b.starts = b.primary, "", 0
		w.note("the launcher goes back to slot %s", b.booted)
	}
	if w.launches++; w.launches > launchesMax {
		w.breach("the agent was started %d times in %s", w.launches, w.ran)
	}
	if b.behaves(neverStarts) {
		w.note("slot %s of the agent ends at once", b.booted)
		w.uptime += 5 * time.Second
		w.ran += 5 * time.Second
		return false
	}
	return true
}

// launchesMax is far more starts than any story of an agent as its own application needs.
const launchesMax = 300
