package sim

import (
	"context"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// What a mirror can do to a device. It has every file that the publisher ever made, and no key.
const (
	replays   = "replays the first stage"
	forgets   = "says that there is no such file"
	tampers   = "flips a byte of each file"
	endless   = "never ends a file"
	cuts      = "cuts every image"
	mixes     = "serves an old timestamp and new files"
	stallsAll = "is not reachable"
)

var attackKinds = []string{replays, forgets, tampers, endless, cuts, mixes, stallsAll}

// The mirror's certificate is valid from certBegins to certEnds. The agent's effective time judges that.
var (
	certBegins = epoch.Add(-24 * time.Hour)
	certEnds   = epoch.Add(365 * 24 * time.Hour)
)

// An attack goes on for a while.
type attack struct {
	span
	kind string
}

// A mirror serves the stage that is current, to one world, and attacks while the chaos lasts.
type mirror struct{ w *World }

// Local implements agent.Repository.
func (m mirror) Local() bool { return false }

// MetadataRefused implements agent.Repository: there is one mirror, and it need not rest.
func (m mirror) MetadataRefused() bool { return false }

// MetadataAccepted implements agent.Repository.
func (m mirror) MetadataAccepted() {}

// MetadataSource implements agent.Repository: there is one mirror, which needs no name.
func (m mirror) MetadataSource() string { return "" }

// ImageRefused implements agent.Repository.
func (m mirror) ImageRefused(string) bool { return false }

// ImageSource implements agent.Repository.
func (m mirror) ImageSource(string) string { return "" }

// attack is what the mirror does now, or "".
func (m mirror) attack() string {
	if m.w.calm() {
		return ""
	}
	for _, a := range m.w.chaos.attacks {
		if a.holds(m.w.ran) {
			return a.kind
		}
	}
	return ""
}

func (m mirror) unreachable() bool {
	if m.w.down(m.w) || m.w.boards[rootfs].behaves(breaksUplink) || m.w.ownApp && m.w.boards[app].behaves(breaksUplink) || m.attack() == stallsAll {
		return true
	}
	return !m.w.calm() && slices.ContainsFunc(m.w.chaos.outages, func(s span) bool { return s.holds(m.w.ran) })
}

// get is one request.
func (m mirror) get(name string) ([]byte, error) {
	if m.w.dead {
		return nil, errDead
	}
	if m.unreachable() {
		return nil, &agent.Problem{Reason: agent.ReasonUnreachable, Text: "no route"}
	}
	if now := m.w.believed(); now.Before(certBegins) || now.After(certEnds) {
		return nil, &agent.Problem{Reason: agent.ReasonTLS, Text: "the certificate is not valid at " + now.String()}
	}
	stage := m.w.at(m.w)
	kind := m.attack()
	if kind == replays || kind == mixes && path.Base(name) == "timestamp.json" {
		stage = 0
	}
	b, ok := m.w.repo.stages[stage][name]
	if !ok || kind == forgets {
		return nil, agent.ErrAbsent
	}
	if path.Base(name) == "timestamp.json" {
		m.w.asked = m.w.ran
		m.w.asks++
	}
	b = slices.Clone(b)
	if kind == tampers && len(b) > 0 {
		b[m.w.random.IntN(len(b))] ^= 1 << m.w.random.IntN(8)
	}
	return b, nil
}

// Metadata implements agent.Repository.
func (m mirror) Metadata(_ context.Context, name string, bytesMax int64) ([]byte, error) {
	b, err := m.get("metadata/" + name)
	if int64(len(b)) > bytesMax || err == nil && m.attack() == endless {
		return nil, &agent.Problem{Reason: agent.ReasonTooLarge, Text: "more bytes than may be"}
	}
	return b, err
}

// Image implements agent.Repository.
func (m mirror) Image(_ context.Context, q agent.ImageRequest) (agent.ImageBody, error) {
	b, err := m.get("targets/" + q.Name)
	if err != nil {
		return agent.ImageBody{}, err
	}
	from := min(q.From, int64(len(b)))
	if q.Validator != "" && q.Validator != validator(q.Name) {
		from = 0
	}
	return agent.ImageBody{ReadCloser: &body{m: m, rest: b[from:]}, From: from, Validator: validator(q.Name)}, nil
}

// validator is a file's: names hold the hash, so they never change what they name.
func validator(name string) string { return `"` + strings.ToLower(path.Base(name)) + `"` }

// body yields a chunk at a time, and breaks when the link does.
type body struct {
	m    mirror
	rest []byte
}

func (b *body) Read(p []byte) (int, error) {
	if b.m.w.dead {
		return 0, errDead
	}
	if b.m.unreachable() || b.m.attack() == cuts && len(b.rest) <= imageBytes/2 {
		return 0, &agent.Problem{Reason: agent.ReasonCut, Text: "the link went down"}
	}
	if len(b.rest) == 0 && b.m.attack() == endless {
		return 0, &agent.Problem{Reason: agent.ReasonTooLarge, Text: "more bytes than the image has"}
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest[:min(len(b.rest), chunkBytes)])
	b.rest = b.rest[n:]
	b.m.w.fetched += int64(n)
	return n, nil
}

func (b *body) Close() error { return nil }
