package sim

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

const (
	component  = "rootfs"
	targetPath = "board/stable/rootfs.img"
	imageBytes = 4 << 10
	chunkBytes = 1 << 10 // of a body's read, and between two flushes
)

// epoch is when the simulated publisher starts.
var epoch = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

// A repository is a publisher's real, signed repository at each of its releases. It is made once and shared.
type repository struct {
	anchor []byte
	// stages[i] is what a mirror serves after releases[0..i] were published: path below the repository → bytes.
	stages   []map[string][]byte
	releases [][]byte
	// at says which stage the mirror serves; it depends on the world.
	at func(*World) int
	// down says whether the repository can't be reached now, for reasons that are nobody's fault.
	down func(*World) bool
}

// publishAll publishes one release after the other, each behaving as its name says, with a rollback_index that rises.
func publishAll(t testing.TB, behaviours ...string) *repository {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "publisher")
	pass := publish.FixedPassphrase("simulated")
	expiry := publish.Expiry{Targets: 400 * 24 * time.Hour, Snapshot: 400 * 24 * time.Hour, Timestamp: 400 * 24 * time.Hour}
	must(t, second(publish.Init(dir, publish.Options{Now: epoch, Passphrase: pass, Expiry: expiry, KDF: publish.KDF{LogN: 10, R: 1, P: 1}})))
	repo, err := publish.Open(dir, publish.Access{Passphrase: pass})
	must(t, err)
	defer repo.Close()
	r := &repository{at: func(w *World) int { return len(w.repo.stages) - 1 }, down: func(*World) bool { return false }}
	for i, how := range behaviours {
		image := slices.Repeat([]byte(fmt.Sprintf("%s v%d\n", how, i+1)), imageBytes)[:imageBytes]
		index := int64(i + 1)
		must(t, second(repo.Add(publish.Addition{Path: targetPath, Image: bytes.NewReader(image),
			Info: release.Info{Version: fmt.Sprintf("v%d", i+1), RollbackIndex: &index}})))
		must(t, second(repo.Publish(epoch.Add(time.Duration(i+1)*time.Minute))))
		r.releases = append(r.releases, image)
		r.stages = append(r.stages, readAll(t, publish.RepositoryDir(dir)))
	}
	r.anchor = r.stages[0]["metadata/1.root.json"]
	return r
}

func second[T any](_ T, err error) error { return err }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func readAll(t testing.TB, dir string) map[string][]byte {
	files := map[string][]byte{}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = b
		return err
	}))
	return files
}

// with returns the same repository behaving otherwise.
func (r *repository) with(change func(*repository)) *repository {
	c := *r
	change(&c)
	return &c
}

// config is the device's.
func (r *repository) config(*World) agent.Config {
	return agent.Config{
		Device: agent.Device{ID: "device-1", Hardware: "board", Channel: "stable"},
		Components: []agent.Component{{Name: component, Target: "{hardware}/{channel}/rootfs.img", Hook: "/hook", Reboot: true,
			HealthEvery: time.Minute}},
		Anchor: r.anchor, BuildTime: epoch, Poll: time.Hour, BackoffMax: 4 * time.Hour, FlushBytes: chunkBytes,
	}
}

func (r *repository) seenFrom(w *World) agent.Repository { return mirror{w, r} }

// A mirror serves the stage that is current, to one world.
type mirror struct {
	w *World
	r *repository
}

func (m mirror) Local() bool      { return false }
func (m mirror) MetadataRefused() {}
func (m mirror) ImageRefused()    {}

// get is one request: a step at which the process may die as at any other.
func (m mirror) get(name string) ([]byte, error) {
	if m.w.dead {
		return nil, errDead
	}
	if m.r.down(m.w) || m.w.board.behaves(breaksUplink) {
		return nil, &agent.Problem{Reason: agent.ReasonUnreachable, Text: "no route"}
	}
	b, ok := m.r.stages[m.r.at(m.w)][name]
	if !ok {
		return nil, agent.ErrAbsent
	}
	return b, nil
}

func (m mirror) Metadata(_ context.Context, name string, bytesMax int64) ([]byte, error) {
	b, err := m.get("metadata/" + name)
	if int64(len(b)) > bytesMax {
		return nil, &agent.Problem{Reason: agent.ReasonTooLarge, Text: "too large"}
	}
	return slices.Clone(b), err
}

func (m mirror) Image(_ context.Context, q agent.ImageRequest) (agent.ImageBody, error) {
	b, err := m.get("targets/" + q.Name)
	if err != nil {
		return agent.ImageBody{}, err
	}
	return agent.ImageBody{ReadCloser: &body{m: m, rest: b[q.From:]}, From: q.From, Validator: hash(b)}, nil
}

// body yields a chunk at a time, and breaks when the link does.
type body struct {
	m    mirror
	rest []byte
}

func (b *body) Read(p []byte) (int, error) {
	if b.m.w.dead {
		return 0, errDead
	}
	if b.m.r.down(b.m.w) {
		return 0, &agent.Problem{Reason: agent.ReasonCut, Text: "the link went down"}
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest[:min(len(b.rest), chunkBytes)])
	b.rest = b.rest[n:]
	return n, nil
}

func (b *body) Close() error { return nil }

// names lists a stage's files, for a failing test's trace.
func (r *repository) names(stage int) string {
	return strings.Join(slices.Sorted(maps.Keys(r.stages[stage])), " ")
}
