//go:build linux && amd64

package crash

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/local"
	"github.com/ota-agent/ota-agent/publish"
	"github.com/ota-agent/ota-agent/verifier"
)

const (
	// smallDisk has room for the store, an image and what an image must leave free (8 MiB), and little more.
	smallDisk = "size=12m"
	// fillBytes leave less than that, and yet enough for metadata.
	fillBytes = 6 << 20
	// otherTargets make the targets file longer than 64 KiB, so that it lies beside the database.
	otherTargets = 500
)

// newSmallBoard is a board that runs release 1 and has its state on a small file system of its own.
func newSmallBoard(t *testing.T) *board {
	t.Helper()
	l := newLab(t)
	one := l.publish(t, imageBytes)
	b := newBoard(t, l, one)
	must(t, os.Mkdir(b.state, 0o700))
	if err := unix.Mount("tmpfs", b.state, "tmpfs", 0, smallDisk); err != nil {
		t.Skipf("a small file system can't be mounted (%v): run it as root", err)
	}
	t.Cleanup(func() {
		b.unplug()
		if err := unix.Unmount(b.state, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	must(t, (&story{board: b, want: one}).run(t.Context(), true))
	b.unplug()
	return b
}

// fill writes a file of up to n bytes beside the store, until the disk is full.
func fill(t *testing.T, b *board, n int) (free func()) {
	t.Helper()
	path := filepath.Join(b.state, "filler")
	err := os.WriteFile(path, make([]byte, n), 0o600)
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() { must(t, os.Remove(path)) }
}

// await follows the agent until its status has what is looked for. It returns the agent, which still runs.
func await(t *testing.T, b *board, has func(agent.Status) bool) (*tracer, agent.Status) {
	t.Helper()
	out, err := os.Create(b.run("log"))
	must(t, err)
	defer out.Close()
	tr := &tracer{blind: true}
	must(t, tr.start(b.daemon(), b.environ(), out))
	b.sessions = append(b.sessions, tr.pid)
	ctx, cancel := context.WithTimeout(t.Context(), restWithin)
	defer cancel()
	s := &story{board: b}
	go s.poke(ctx)
	var last agent.Status
	for client := local.NewClient(b.socket()); ctx.Err() == nil && !isDone(tr); unix.Nanosleep(&unix.Timespec{Nsec: int64(lookEvery)}, nil) {
		if status, err := client.Status(ctx); err == nil {
			if last = status; has(last) {
				return tr, last
			}
		}
	}
	log, _ := os.ReadFile(b.run("log"))
	t.Fatalf("the status never had it; the last one: %+v\n%s", last, log)
	return nil, last
}

// The image does not fit: status says so with all that a person must know, nothing is lost, and once there is room
// the same agent goes on by itself.
func TestDiskTooFullForTheImage(t *testing.T) {
	b := newSmallBoard(t)
	before, err := b.checkStore(verifier.Floors{})
	must(t, err)
	two := b.lab.publish(t, imageBytes)
	free := fill(t, b, fillBytes)
	tr, status := await(t, b, func(s agent.Status) bool {
		return s.Components[0].Problem != nil && s.Components[0].Phase == agent.Fetching
	})
	p := status.Components[0].Problem
	t.Logf("status: %s: %s", p.Reason, p.Text)
	if p.Reason != agent.ReasonDiskFull || status.Components[0].Running.Version != "1" {
		t.Errorf("%+v, want reason %s on a device that runs release 1", status.Components[0], agent.ReasonDiskFull)
	}
	for _, word := range []string{"needs", "available", "reserved"} {
		if !strings.Contains(p.Text, word) {
			t.Errorf("the message does not say what is %s: %s", word, p.Text)
		}
	}
	must(t, b.checkSlots())
	free()
	client := local.NewClient(b.socket())
	_, err = client.Command(t.Context(), agent.Command{Name: "retry"})
	must(t, err)
	s := &story{board: b, want: two}
	_, err = s.follow(t.Context(), tr)
	must(t, err)
	if !b.rebootAsked() {
		t.Fatalf("the agent ended before it asked for a reboot: %v", statusTexts([]unix.WaitStatus{tr.status}))
	}
	must(t, s.run(t.Context(), true))
	b.unplug()
	must(t, b.checkRest(two, before))
}

// Not one byte is left when a large targets file is to be kept: the reserve is given up for it. The image is refused as
// above, the store holds all that was committed, and with room again the device comes to rest.
func TestDiskFullToTheLastByte(t *testing.T) {
	b := newSmallBoard(t)
	floors, err := b.checkStore(verifier.Floors{})
	must(t, err)
	reserve := filepath.Join(b.state, "reserve")
	if _, err := os.Stat(reserve); err != nil {
		t.Fatal(err)
	}
	for n := range otherTargets {
		_, err := b.lab.repo.Add(publish.Addition{Path: fmt.Sprintf("others/%d.img", n), Image: strings.NewReader("small")})
		must(t, err)
	}
	two := b.lab.publish(t, imageBytes)
	free := fill(t, b, 64<<20)
	_, status := await(t, b, func(s agent.Status) bool {
		return s.Repository.LastProblem != nil || s.Components[0].Problem != nil
	})
	b.unplug()
	if p := status.Components[0].Problem; p == nil || p.Reason != agent.ReasonDiskFull {
		t.Errorf("%+v, %v, want reason %s for the image", p, status.Repository.LastProblem, agent.ReasonDiskFull)
	}
	if _, err := os.Stat(reserve); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the reserve was not given up: %v", err)
	}
	now, err := b.checkStore(floors)
	must(t, err)
	if now.Snapshot.Version <= floors.Snapshot.Version {
		t.Errorf("metadata was not committed: %+v", now)
	}
	must(t, b.checkSlots())
	free()
	must(t, (&story{board: b, want: two}).run(t.Context(), false))
	b.unplug()
	must(t, b.checkRest(two, now))
}
