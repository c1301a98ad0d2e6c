package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A board stands in for a device's hardware: flash that survives a power cut, memory that doesn't, two slots, a
// bootloader with a boot environment, and a service manager that runs the agent and one application.
//
// Its flash is a directory; a power cut is SIGKILL for everything that runs, at any moment. It does not lose what the
// kernel had not yet written to disk: the simulation in agent/sim and the tests with a virtual machine do that.
type board struct {
	paths  paths
	show   *show
	log    *tail
	agent  program
	app    program
	button net.Listener
	health *http.Server
	// system is what is booted; nil while the power is off.
	system atomic.Pointer[manifest]

	mu      sync.Mutex
	boots   []boot
	running [2]*process // by service
	crashes int         // ends of the agent that nobody asked for
	failure error       // the board does not boot any more
}

// A boot is one start of the board.
type boot struct {
	ID     string
	Slot   string
	Try    bool
	System manifest
}

// A service is one of the two things that the board's service manager runs.
type service int

const (
	agentService service = iota
	appService
)

// A program makes the command of a service; nil where it is not installed.
type program func() *exec.Cmd

const (
	// stopGrace is how long a service may take to end by itself when the board reboots.
	stopGrace = 5 * time.Second
	// restartDelay and crashesMax govern the agent's restarts after an end that nobody asked for.
	restartDelay = 500 * time.Millisecond
	crashesMax   = 5
	// resetsMax is how often the watchdog resets a board whose slot does not start before it is given up.
	resetsMax = 3
)

var errBricked = errors.New("the board does not boot any more")

// open gives the board its socket and the health page of whatever system it boots. The power is still off.
func (b *board) open() (healthURL string, err error) {
	for _, dir := range []string{b.paths.flash, b.paths.run} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return "", err
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	b.health = &http.Server{Handler: http.HandlerFunc(b.serveHealth), ReadHeaderTimeout: wordTimeout}
	go func() { _ = b.health.Serve(l) }()
	if b.button, err = listenButton(b.paths.button, b.pressed); err != nil {
		return "", errors.Join(err, b.health.Close())
	}
	return "http://" + l.Addr().String() + "/healthz", nil
}

// close turns the power off for good.
func (b *board) close() error {
	err := b.cutPower()
	if b.button != nil {
		err = errors.Join(err, b.button.Close())
	}
	if b.health != nil {
		err = errors.Join(err, b.health.Close())
	}
	return err
}

// serveHealth is the health page of the booted system: some versions of it are not well.
func (b *board) serveHealth(w http.ResponseWriter, _ *http.Request) {
	m := b.system.Load()
	switch {
	case m == nil:
		http.Error(w, "no power", http.StatusServiceUnavailable)
	case !m.Healthy:
		http.Error(w, "system "+m.Version+": the main service keeps crashing", http.StatusInternalServerError)
	default:
		_, _ = fmt.Fprintln(w, "system", m.Version, "is well")
	}
}

func (b *board) pressed(word string) (then func(), err error) {
	switch word {
	case wordReboot:
		return b.reboot, nil
	case wordRestart:
		return nil, b.restartApp()
	}
	return nil, fmt.Errorf("unknown word %q", word)
}

// powerOn boots: the bootloader decides, memory is empty, the boot has a new ID, the services start.
func (b *board) powerOn() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.boot()
}

// boot is powerOn with b.mu held.
func (b *board) boot() error {
	next, err := b.load()
	if err != nil {
		b.failure = err
		return err
	}
	next.ID = newBootID()
	b.boots = append(b.boots, next)
	why := "primary"
	if next.Try {
		why = "a one-shot try, cleared before it boots"
	}
	b.show.say("board", "boot %d: slot %s (%s), system %s, boot ID %.8s…", len(b.boots), next.Slot, why, next.System.Version, next.ID)
	if err := b.fillMemory(next); err != nil {
		return err
	}
	b.system.Store(&next.System)
	return errors.Join(b.start(appService, b.app), b.start(agentService, b.agent))
}

// load is the bootloader with its watchdog: it takes slots until one holds a whole system.
func (b *board) load() (boot, error) {
	var tried error
	for range resetsMax {
		c, err := choose(b.paths.bootEnv())
		if err != nil {
			return boot{}, fmt.Errorf("%w: %w", errBricked, err)
		}
		m, err := readManifest(b.paths.slot(c.Slot))
		if err == nil {
			return boot{Slot: c.Slot, Try: c.Try, System: m}, nil
		}
		b.show.say("board", "slot %s does not start: %v; the watchdog resets the board", c.Slot, err)
		tried = err
	}
	return boot{}, fmt.Errorf("%w: %w", errBricked, tried)
}

// fillMemory makes what a boot leaves in a file system in memory.
func (b *board) fillMemory(next boot) error {
	if err := os.RemoveAll(b.paths.run); err != nil {
		return err
	}
	if err := os.Mkdir(b.paths.run, 0o755); err != nil {
		return err
	}
	uptime, err := os.ReadFile("/proc/uptime")
	if err != nil {
		return err
	}
	began, _, _ := strings.Cut(string(uptime), " ") // or each boot would seem as old as the host
	return errors.Join(
		os.WriteFile(b.paths.bootID(), []byte(next.ID+"\n"+began+"\n"), 0o644),
		os.WriteFile(b.paths.booted(), []byte(next.Slot+"\n"), 0o644),
	)
}

func newBootID() string {
	var r [16]byte
	_, _ = rand.Read(r[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", r[:4], r[4:6], r[6:8], r[8:10], r[10:])
}

// cutPower ends everything at once.
func (b *board) cutPower() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.system.Store(nil)
	var errs error
	for s, p := range b.running {
		b.running[s] = nil
		if p != nil {
			errs = errors.Join(errs, p.cut())
		}
	}
	return errs
}

// reboot ends the services in order, then boots.
func (b *board) reboot() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.show.say("board", "reboot, as the agent asked")
	b.system.Store(nil)
	for _, s := range []service{agentService, appService} {
		p := b.running[s]
		if p == nil {
			continue
		}
		b.running[s] = nil
		willing, err := p.stop(stopGrace)
		if err != nil {
			b.failure = err
			return
		}
		if !willing {
			b.show.say("board", "process %d did not end within %s and was killed", p.pid(), stopGrace)
		}
	}
	if err := b.boot(); err != nil {
		b.show.say("board", "%v", err)
		b.failure = err
	}
}
