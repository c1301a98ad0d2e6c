package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/verifier"
)

// A session runs commands in one directory, as a person at a terminal does, with a clock of its own.
type session struct {
	t   *testing.T
	dir string
	now time.Time
	env map[string]string
}

func newSession(t *testing.T) *session {
	return &session{
		t: t, dir: t.TempDir(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		env: map[string]string{passphraseEnv: "correct horse"},
	}
}

// run expects an exit code, and returns what was printed.
func (s *session) run(code int, args ...string) (out, errors string) {
	s.t.Helper()
	in, err := os.Open(os.DevNull)
	if err != nil {
		s.t.Fatal(err)
	}
	defer in.Close()
	var o, e bytes.Buffer
	a := app{in: in, out: &o, err: &e, now: func() time.Time { return s.now },
		env: func(name string) (string, bool) { v, ok := s.env[name]; return v, ok }}
	if got := a.run(context.Background(), append([]string{"-C", s.dir}, args...)); got != code {
		s.t.Fatalf("ota-repo %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, &o, &e)
	}
	return o.String(), e.String()
}

// init makes a repository with cheap keys.
func (s *session) init(args ...string) {
	s.t.Helper()
	s.run(exitOK, append([]string{"init", "--scrypt-log2n", "10"}, args...)...)
}

// file puts a file beside the publisher's directory and returns its path.
func (s *session) file(name, text string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func (s *session) publish() {
	s.t.Helper()
	s.run(exitOK, "snapshot")
	s.run(exitOK, "timestamp")
}

func expect(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("expected %q in\n%s", p, text)
		}
	}
}

// The story of the manual: a first repository, a release, what a device sees of it and when.
func TestTheFirstRelease(t *testing.T) {
	s := newSession(t)
	s.init("--hardware", "board-a")
	out, _ := s.run(exitOK, "verify")
	expect(t, out, "targets 1; 0 images")
	image := s.file("rootfs.img", "the image")
	out, _ = s.run(exitOK, "add", "board-a/stable/rootfs.img", image, "--version", "1.0", "--rollback-index", "1",
		"--hardware", "board-a", "--rollout-duration", "3d", "--requires", "boot=2", "--urgent", "--notes", "first")
	expect(t, out, "9 bytes", "next: ota-repo snapshot; ota-repo timestamp")
	out, _ = s.run(exitOK, "status")
	expect(t, out, "staged targets 2: not signed by enough keys yet", "next: ota-repo snapshot")
	out, _ = s.run(exitOK, "snapshot")
	expect(t, out, ".rootfs.img\n  metadata/2.targets.json\n  metadata/2.snapshot.json\n")
	out, _ = s.run(exitOK, "verify")
	expect(t, out, "targets 1; 0 images")
	out, _ = s.run(exitOK, "status")
	expect(t, out, "not in the timestamp yet")
	s.run(exitOK, "timestamp")
	out, _ = s.run(exitOK, "verify")
	expect(t, out, "targets 2; 1 images, 9 bytes")
	metadata, err := os.ReadFile(filepath.Join(publish.MetadataDir(s.dir), "2.targets.json"))
	if err != nil {
		t.Fatal(err)
	}
	expect(t, string(metadata), `"rollout":{"duration":259200,"start":"2026-01-02T03:04:05Z"}`, `"urgent":true`,
		`"requires":[{"component":"boot","rollback_index":2}]`)
	s.run(exitOK, "remove", "board-a/stable/rootfs.img")
	s.publish()
	out, _ = s.run(exitOK, "verify")
	expect(t, out, "targets 3; 0 images")
}

func TestExitCodes(t *testing.T) {
	s := newSession(t)
	s.run(exitFailed, "status")
	s.run(exitFailed, "serve")
	s.init("--hardware", "board-a")
	image := s.file("image", "x")
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{exitUsage, "unknown command or argument \"frobnicate\"", []string{"frobnicate"}},
		{exitUsage, "unknown flag", []string{"status", "--colour"}},
		{exitUsage, "expected 2 arguments", []string{"add", "a"}},
		{exitUsage, "COMPONENT=INDEX", []string{"add", "a", image, "--requires", "boot"}},
		{exitUsage, "such as 6h", []string{"add", "a", image, "--rollout-duration", "soon"}},
		{exitUsage, "YYYY", []string{"add", "a", image, "--rollout-duration", "1h", "--rollout-start", "today"}},
		{exitUsage, "root or targets", []string{"sign", "timestamp"}},
		{exitUsage, "at least one of", []string{"rotate", "targets"}},
		{exitUsage, "ROLE=KEYS/THRESHOLD", []string{"init", "--role", "root=3"}},
		{exitUsage, "before the =", []string{"init", "--expiry", "mirrors=1d"}},
		{exitUsage, "--root", []string{"verify", "--root", "absent"}},
		{exitFailed, "already holds a repository", []string{"init"}},
		{exitFailed, "no such file", []string{"add", "a", "absent"}},
		{exitFailed, "is empty", []string{"add", "a", os.DevNull}},
		{exitRefused, "not a target path", []string{"add", "../a", image}},
		{exitRefused, "--new-hardware", []string{"add", "a", image, "--hardware", "board-b"}},
		{exitRefused, "24h0m0s", []string{"add", "a", image, "--rollout-duration", "1h"}},
		{exitRefused, "not listed", []string{"remove", "a"}},
		{exitRefused, "first only add", []string{"rotate", "timestamp", "--add", filepath.Join(s.dir, "keys/root.key"), "--threshold", "2"}},
		{exitKeys, "not a whole key file", []string{"key", "public", s.file("x.key", "ota-repo private key v1\n")}},
		{exitOK, "", []string{"version"}},
		{exitOK, "", []string{"help", "add"}},
	} {
		_, errors := s.run(c.code, c.args...)
		expect(t, errors, c.want)
		if strings.Count(errors, "\n") > 2 {
			t.Errorf("%v: more than a line and a hint:\n%s", c.args, errors)
		}
	}
}

func TestTheRollbackIndexDoesNotGoBack(t *testing.T) {
	s := newSession(t)
	s.init()
	image := s.file("image", "x")
	s.run(exitOK, "add", "a", image, "--rollback-index", "5")
	s.publish()
	_, errors := s.run(exitRefused, "add", "a", image, "--rollback-index", "4")
	expect(t, errors, "it is 4, an earlier release had 5", "--lower-index")
	s.run(exitRefused, "add", "a", image)
	s.run(exitOK, "add", "a", image, "--rollback-index", "4", "--lower-index")
	s.run(exitOK, "add", "a", image, "--rollback-index", "5")
}

func TestPassphrases(t *testing.T) {
	s := newSession(t)
	s.init()
	s.env[passphraseEnv] = "wrong"
	_, errors := s.run(exitKeys, "timestamp")
	expect(t, errors, "wrong passphrase", "timestamp.key")
	s.env[passphraseEnv] = ""
	_, errors = s.run(exitKeys, "timestamp")
	expect(t, errors, passphraseEnv+" is empty")
	delete(s.env, passphraseEnv)
	_, errors = s.run(exitKeys, "timestamp")
	expect(t, errors, "no terminal", "--passphrase-file")
	old := s.file("old", "correct horse\nanother line\n")
	s.run(exitOK, "timestamp", "--passphrase-file", old)
	next := s.file("next", "battery staple")
	key := filepath.Join(s.dir, "keys", "timestamp.key")
	s.run(exitOK, "key", "passphrase", key, "--passphrase-file", old, "--new-passphrase-file", next, "--scrypt-log2n", "10")
	s.run(exitKeys, "timestamp", "--passphrase-file", old)
	s.run(exitOK, "timestamp", "--passphrase-file", next)
}

// Two people hold a root key each. A key joins targets, both sign, then the old one leaves; devices verify after
// every single step.
func TestAKeyIsReplacedWithoutAGap(t *testing.T) {
	s := newSession(t)
	s.init("--role", "root=2/2")
	s.run(exitOK, "add", "a", s.file("image", "x"), "--rollback-index", "1")
	s.publish()
	ann, ben := t.TempDir(), t.TempDir()
	move(t, filepath.Join(s.dir, "keys/root-1.key"), filepath.Join(ann, "root-1.key"))
	move(t, filepath.Join(s.dir, "keys/root-2.key"), filepath.Join(ben, "root-2.key"))
	old := s.keyID("targets")
	key := filepath.Join(s.dir, "keys/targets-2.key")
	s.run(exitOK, "key", "new", "targets-2", "--scrypt-log2n", "10")
	public, _ := s.run(exitOK, "key", "public", key)

	s.run(exitOK, "rotate", "targets", "--add", s.file("targets-2.pub", public))
	s.run(exitKeys, "snapshot")
	s.run(exitKeys, "sign", "root")
	out, _ := s.run(exitOK, "sign", "root", "--keys", ann)
	expect(t, out, "not signed by enough keys yet", "next: ota-repo sign root")
	out, _ = s.run(exitOK, "sign", "root", "--keys", ben)
	expect(t, out, "staged root 2: signed")
	_, errors := s.run(exitRefused, "rotate", "targets", "--remove", old[:12])
	expect(t, errors, "first only add the new keys")
	s.run(exitOK, "sign", "root", "--keys", ann)
	s.run(exitOK, "sign", "root", "--keys", ben)
	out, _ = s.run(exitOK, "sign", "targets")
	expect(t, out, "staged targets 3: signed")
	s.run(exitOK, "snapshot")
	s.run(exitOK, "verify")
	s.run(exitOK, "timestamp")
	s.run(exitOK, "verify")

	s.run(exitOK, "rotate", "targets", "--remove", old[:12])
	s.run(exitOK, "sign", "root", "--keys", ann)
	s.run(exitOK, "sign", "root", "--keys", ben)
	s.run(exitOK, "snapshot")
	s.run(exitOK, "verify")
	s.run(exitOK, "timestamp")
	out, _ = s.run(exitOK, "verify")
	expect(t, out, "root 3,", "targets 3;")
	if s.keyID("targets") == old {
		t.Error("the old key still signs")
	}
}

// A stolen key leaves at once: what it signed is signed anew by the other.
func TestAStolenKeyIsReplacedAtOnce(t *testing.T) {
	s := newSession(t)
	s.init()
	for _, role := range []string{"targets", "snapshot", "timestamp"} {
		s.run(exitOK, "key", "new", role+"-2", "--scrypt-log2n", "10")
		s.run(exitOK, "rotate", role, "--add", filepath.Join(s.dir, "keys", role+"-2.key"), "--remove", s.keyID(role), "--at-once")
		s.run(exitOK, "sign", "root")
		s.publish()
		s.run(exitOK, "verify")
	}
	s.run(exitOK, "key", "new", "root-2", "--scrypt-log2n", "10")
	s.run(exitOK, "rotate", "root", "--add", filepath.Join(s.dir, "keys/root-2.key"), "--remove", s.keyID("root"))
	s.publish()
	out, _ := s.run(exitOK, "verify")
	expect(t, out, "root 5,")
}

// keyID is the ID of a role's first key.
func (s *session) keyID(role string) string {
	s.t.Helper()
	out, _ := s.run(exitOK, "status", "--json")
	var status publish.Status
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		s.t.Fatal(err)
	}
	for _, r := range status.Roles {
		if r.Role == role {
			return r.Keys[0].ID
		}
	}
	s.t.Fatalf("no role %s", role)
	return ""
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestRenewals(t *testing.T) {
	s := newSession(t)
	s.init()
	s.now = s.now.Add(8 * 24 * time.Hour)
	_, errors := s.run(exitRefused, "timestamp")
	expect(t, errors, "snapshot: expired", `renew it with "ota-repo snapshot"`)
	s.publish()
	out, _ := s.run(exitOK, "verify")
	expect(t, out, "targets 1;")
	s.now = s.now.Add(80 * 24 * time.Hour)
	s.publish()
	out, _ = s.run(exitOK, "verify")
	expect(t, out, "targets 2;")
	s.now = s.now.Add(365 * 24 * time.Hour)
	out, _ = s.run(exitOK, "status")
	expect(t, out, "EXPIRED")
	_, errors = s.run(exitRefused, "snapshot")
	expect(t, errors, "root: expired", `"ota-repo sign root"`)
	s.run(exitOK, "sign", "root")
	s.publish()
	out, _ = s.run(exitOK, "verify")
	expect(t, out, "root 2,")
	s.now = s.now.Add(-time.Hour)
	_, errors = s.run(exitRefused, "timestamp")
	expect(t, errors, "set the clock")
}

// Floors for an image are read as a device reads the repository, and hang on the newest root.
func TestFloorsForAnImage(t *testing.T) {
	s := newSession(t)
	s.init()
	image := s.file("rootfs.img", "an image")
	s.run(exitOK, "add", "board/stable/rootfs.img", image, "--version", "1.0", "--rollback-index", "7")
	s.run(exitOK, "add", "board/stable/app.tar", image, "--version", "1.0")
	s.publish()
	s.run(exitOK, "sign", "root")
	s.publish()
	out, hint := s.run(exitOK, "floors", "--component", "rootfs=board/stable/rootfs.img")
	expect(t, hint, "metadata/2.root.json")
	f, err := verifier.ParseFloors([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	if f.RootVersion != 2 || f.Timestamp.Version != 3 || f.Snapshot.Version != 3 || f.Index["rootfs"].Version != 7 || len(f.Index) != 1 {
		t.Errorf("floors %+v", f)
	}
	anchor, err := os.ReadFile(filepath.Join(publish.MetadataDir(s.dir), "2.root.json"))
	if err != nil {
		t.Fatal(err)
	}
	refresh, err := verifier.Begin(anchor, verifier.Floors{}, s.now, verifier.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if err := refresh.Demand(f); err != nil {
		t.Errorf("an image with that root can't use them: %v", err)
	}
	for _, wrong := range []string{"rootfs", "=x", "a/b=x"} {
		_, said := s.run(exitUsage, "floors", "--component", wrong)
		expect(t, said, "NAME=TARGET-PATH")
	}
	_, said := s.run(exitUsage, "floors", "--component", "a=x", "--component", "a=y")
	expect(t, said, "each name once")
	_, said = s.run(exitFailed, "floors", "--component", "app=board/stable/app.tar")
	expect(t, said, "component app: target board/stable/app.tar has no rollback_index")
	_, said = s.run(exitFailed, "floors", "--component", "app=board/none")
	expect(t, said, "component app", "board/none")
}
