package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/fetch"
	"github.com/ota-agent/ota-agent/agent/files"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/install"
	"github.com/ota-agent/ota-agent/mqtt"
	"github.com/ota-agent/ota-agent/storage"
	"github.com/ota-agent/ota-agent/verifier"
)

// memorySoftLimit makes the garbage collector work harder before the heap gets there, with the default length
// of targets files; a longer one needs room for itself and its canonical form. It is no cap. GOMEMLIMIT
// overrides it.
const memorySoftLimit = 64 << 20

func (c *cli) run([]string) error {
	ctx, stop := interruptible()
	defer stop()
	survivePipes()
	limitMemory(0)
	log := openLog(c.ui.err, c.verbose)
	c.ui.err, c.atEnd = log.text, log.close
	return runAgent(ctx, c.config, log.Logger)
}

// runAgent wires the agent to its adapters and runs it until ctx ends, which is no error.
func runAgent(ctx context.Context, config string, log *slog.Logger) error {
	s, err := loadSettings(config)
	if err != nil {
		return err
	}
	limitMemory(s.agent.Limits.StatedBytes)
	if err := preflight(&s); err != nil {
		return err
	}
	sys, err := newSystem(s)
	if err != nil {
		return err
	}
	s.agent.LastFailure = readLastFailure(s)
	err = runStore(ctx, s, sys, log)
	now, _ := sys.Clock()
	inTime(func() { keepLastFailure(s, err, now, log) }) // the disk may be what failed
	return err
}

// runStore is runAgent once it is known where the store lies.
func runStore(ctx context.Context, s settings, sys system, log *slog.Logger) error {
	store, err := storage.Open(s.state, storage.Options{BootID: sys.BootID()})
	if err != nil {
		return err
	}
	defer func() {
		if !inTime(func() { store.Close() }) {
			log.Warn("the store does not close; the process ends all the same", "state", s.state)
		}
	}()

	clock := &effectiveTime{system: sys}
	s.fetch.Now, s.fetch.NowIsFloor, s.fetch.Log, s.fetch.Aide = clock.now, clock.isFloor, log, startAide
	repository, err := fetch.New(s.fetch)
	if err != nil {
		return s.wrong(exitConfig, "repository", err, "")
	}
	defer inTime(func() { repository.Close() })

	hooks := install.New(install.Config{Components: s.hooks, RunDir: s.hookDir(), BootID: sys.BootID(), Environ: os.Environ(), Log: log,
		Trusted: func(path string) error { return files.CheckOwners(path, files.Unchanged) }})
	a, err := agent.New(s.agent, agent.Ports{
		Store: store, Images: store.Images(), Repository: repository, System: sys, Throttle: repository,
		Installer: hooks, HookLimit: hooks.Limit, HookGrace: hooks.Grace(),
		Counters: counters(store, repository), Credentials: repository.Credentials,
		Lookout: &s.lookout,
		Random:  rand.Float64,
	}, log)
	if err != nil {
		return err
	}
	clock.agent.Store(a)
	return serve(ctx, s, store, a, repository, clock, hooks.Grace(), log)
}

// trustedFiles hands out the store's metadata.
type trustedFiles struct{ store *storage.Store }

func (t trustedFiles) Document(role string, version int64) (io.ReadCloser, int64, error) {
	return t.store.DocumentFile(verifier.Key{Role: role, Version: version})
}

// serve runs the agent and all that speaks for it. What ends first ends the rest; what does not end, a hook's
// grace aside, ends with the process.
func serve(ctx context.Context, s settings, store *storage.Store, a *agent.Agent, repository *fetch.Repository, clock *effectiveTime,
	grace time.Duration, log *slog.Logger) error {
	notify, err := newNotifier(a, log)
	if err != nil {
		return err
	}
	broker, err := newBroker(s, a, clock, log)
	if err != nil {
		return err
	}
	// The store's lock is held: nobody else listens, but for a process that does not belong there.
	socket, err := local.Listen(s.socket)
	if err != nil {
		return s.wrong(exitConfig, "socket", err, "the directory of the socket must be writable for the agent")
	}
	all := newTogether(ctx)
	log.Info(logStarted, "version", s.agent.Version, "device", s.agent.Device.ID, "components", len(s.agent.Components))
	all.start(a.Run)
	all.start(func(ctx context.Context) error { return watchState(ctx, store.Astray, log) })
	all.start(func(ctx context.Context) error { return local.Serve(ctx, socket, a, trustedFiles{store}, log) })
	all.start(func(ctx context.Context) error { notify.run(ctx); return nil })
	if len(s.fetch.Media) > 0 {
		all.start(func(ctx context.Context) error {
			repository.WatchMedia(ctx, func() { a.Wake(agent.Wake{Source: "medium", Medium: true}) })
			return nil
		})
	}
	if broker != nil {
		all.start(func(ctx context.Context) error { _ = broker.Run(ctx); return nil }) // it ends with ctx alone
	}
	switch err := all.wait(endMax + grace); {
	case errors.Is(err, errLeft):
		log.Warn("something does not end; it ends with the process")
	case err != nil:
		return fmt.Errorf("the agent stopped: %w", err)
	}
	log.Info(logStopped)
	return nil
}

// newBroker is the way to the broker, or nil where the config names none: polling alone suffices.
func newBroker(s settings, a *agent.Agent, clock *effectiveTime, log *slog.Logger) (*mqtt.Client, error) {
	if s.mqtt == nil {
		return nil, nil
	}
	s.mqtt.Now, s.mqtt.NowIsFloor, s.mqtt.Random = clock.now, clock.isFloor, rand.Float64
	client, err := mqtt.New(*s.mqtt, a, log)
	if err != nil {
		return nil, s.wrong(exitConfig, "mqtt", err, "")
	}
	return client, nil
}

// counters adds up what the adapters counted.
func counters(store *storage.Store, repository *fetch.Repository) func() agent.Counters {
	return func() agent.Counters {
		n, wire := store.Counters(), repository.Counters()
		n.Requests, n.BytesFetched = wire.Requests, wire.BodyBytes
		return n
	}
}

// limitMemory sets the soft limit. targets is the longest targets file that the config accepts, in bytes; 0:
// the default.
func limitMemory(targets int64) {
	longer := max(0, targets-verifier.DefaultLimits().StatedBytes)
	if now := debug.SetMemoryLimit(-1); now == math.MaxInt64 || now == memorySoftLimit {
		debug.SetMemoryLimit(memorySoftLimit + 5*longer/2)
	}
}
