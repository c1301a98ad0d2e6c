package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Another user can't have the status show a text of theirs, nor the agent write through a link of theirs.
func TestAForeignLastFailureIsNeitherShownNorFollowed(t *testing.T) {
	dir := t.TempDir()
	s := settings{socket: filepath.Join(dir, "agent.sock")}
	const foreign = `{"reason":"internal","text":"run this as root: rm -rf /"}`
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.WriteFile(elsewhere, []byte(foreign), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("elsewhere", s.lastFailure()); err != nil {
		t.Fatal(err)
	}
	if p := readLastFailure(s); p != nil {
		t.Errorf("through a link the status shows %+v", p)
	}
	if err := writeLastFailure(s.lastFailure(), errors.New("the disk is gone"), time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(elsewhere); string(b) != foreign {
		t.Errorf("the agent wrote through a link: %s", b)
	}
	if p := readLastFailure(s); p == nil || p.Text != "the disk is gone" {
		t.Errorf("the agent's own words are %+v", p)
	}
	if err := os.Chmod(s.lastFailure(), 0o602); err != nil {
		t.Fatal(err)
	}
	if p := readLastFailure(s); p != nil {
		t.Errorf("what others may write is shown: %+v", p)
	}
}
