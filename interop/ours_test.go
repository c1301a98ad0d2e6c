package interop

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/release"
)

const day = 24 * time.Hour

// A publisher makes a repository as ota-repo does.
type publisher struct {
	t    *testing.T
	repo *publish.Repo
	now  time.Time
}

func access() publish.Access {
	return publish.Access{Passphrase: publish.FixedPassphrase("correct horse")}
}

// newPublisher demands two of three keys for root and both of two for targets.
func newPublisher(t *testing.T) *publisher {
	t.Helper()
	// Clients without a test clock read these files too.
	p := &publisher{t: t, now: time.Now().UTC().Truncate(time.Second)}
	dir := filepath.Join(t.TempDir(), "publisher")
	_, err := publish.Init(dir, publish.Options{
		Now: p.now, Passphrase: access().Passphrase, KDF: cheap(),
		Roles: map[string]publish.RoleOptions{
			"root": {Keys: 3, Threshold: 2}, "targets": {Keys: 2, Threshold: 2},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.repo, err = publish.Open(dir, access()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.repo.Close() })
	return p
}

func cheap() publish.KDF { return publish.KDF{LogN: 10, R: 1, P: 1} }

// site serves the repository; the first root is the anchor.
func (p *publisher) site() site {
	p.t.Helper()
	anchor, err := os.ReadFile(filepath.Join(publish.MetadataDir(p.repo.Dir()), "1.root.json"))
	if err != nil {
		p.t.Fatal(err)
	}
	return serve(p.t, publish.RepositoryDir(p.repo.Dir()), anchor)
}

func (p *publisher) add(path string, content string, info release.Info) {
	p.t.Helper()
	if _, err := p.repo.Add(publish.Addition{Path: path, Image: strings.NewReader(content), Info: info}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *publisher) publish() {
	p.t.Helper()
	p.now = p.now.Add(time.Second)
	if _, err := p.repo.Publish(p.now); err != nil {
		p.t.Fatal(err)
	}
}

// rotate gives a role one key in place of another, at once.
func (p *publisher) rotate(role, name string) {
	p.t.Helper()
	_, key, err := publish.MakeKey(filepath.Join(p.repo.Dir(), "keys"), name, access().Passphrase, cheap())
	if err != nil {
		p.t.Fatal(err)
	}
	status, err := p.repo.Status(p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	var old string
	for _, r := range status.Roles {
		if r.Role == role {
			old = r.Keys[0].ID
		}
	}
	p.reopen() // keys are looked for once
	rotation := publish.Rotation{Role: role, Add: []publish.Key{key}, Remove: []string{old}, AtOnce: true}
	if err := p.repo.Rotate(rotation); err != nil {
		p.t.Fatal(err)
	}
	for _, signs := range []string{"root", "targets"} {
		if _, err := p.repo.Sign(signs, p.now); err != nil {
			p.t.Fatal(err)
		}
	}
	p.publish()
}

func (p *publisher) reopen() {
	p.t.Helper()
	dir := p.repo.Dir()
	if err := p.repo.Close(); err != nil {
		p.t.Fatal(err)
	}
	var err error
	if p.repo, err = publish.Open(dir, access()); err != nil {
		p.t.Fatal(err)
	}
}

// Every client reads what package publish makes, and goes on reading while keys rotate and releases follow.
func TestClientsReadOurRepositories(t *testing.T) {
	for name, open := range map[string]func(*testing.T, *publisher) client{
		"ours": func(t *testing.T, p *publisher) client {
			return newOurClient(t, p.site(), p.now.Add(time.Hour))
		},
		"go-tuf": func(t *testing.T, p *publisher) client {
			return newGoTUF(t, p.site(), p.now.Add(time.Hour))
		},
		"tuf-js": func(t *testing.T, p *publisher) client { return newTufJS(t, p.site()) },
	} {
		t.Run(name, func(t *testing.T) { readOurRepository(t, open) })
	}
}

func readOurRepository(t *testing.T, open func(*testing.T, *publisher) client) {
	const path = "board/stable/rootfs.img"
	index := int64(7)
	info := release.Info{
		Version: "2.4 „Übermut“", RollbackIndex: &index, Hardware: []string{"board", "board-b"}, Urgent: true,
		Rollout:  &release.Rollout{Start: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Duration: 3 * day},
		Requires: []release.Requirement{{Component: "loader", RollbackIndex: 3}},
		Notes:    "first line\nsecond \"line\" \\ with\ta tab, & < >",
	}
	p := newPublisher(t)
	c := open(t, p)
	p.add(path, "first image", info)
	p.add("board/stable/app.img", "without a custom value", release.Info{})
	p.publish()
	want(t, c, path, "first image", info)
	want(t, c, "board/stable/app.img", "without a custom value", release.Info{})

	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		p.rotate(role, "new-"+role)
		want(t, c, path, "first image", info)
	}
	info.Version, *info.RollbackIndex = "2.5", 8
	p.add(path, "second image", info)
	p.publish()
	want(t, c, path, "second image", info)
}

// want gets a target and compares the image and what the release says of itself.
func want(t *testing.T, c client, path, content string, info release.Info) {
	t.Helper()
	got, err := c.get(t, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if string(got.content) != content {
		t.Errorf("%s: content %q, want %q", path, got.content, content)
	}
	custom, err := info.Custom()
	if err != nil {
		t.Fatal(err)
	}
	if reflect.DeepEqual(info, release.Info{}) {
		custom = nil
	}
	if !sameJSON(t, got.custom, custom) {
		t.Errorf("%s: custom %s, want %s", path, got.custom, custom)
	}
	if read, err := release.Parse(got.custom); err != nil || !reflect.DeepEqual(read, info) {
		t.Errorf("%s: the client hands on custom.ota %+v, %v; want %+v", path, read, err, info)
	}
}

// sameJSON compares values: clients may write them out again.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var values [2]any
	for i, raw := range [][]byte{a, b} {
		d := json.NewDecoder(bytes.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&values[i]); err != nil {
			t.Fatal(err)
		}
	}
	return reflect.DeepEqual(values[0], values[1])
}
