package sim

import (
	"bytes"
	"maps"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// anchored is a device whose releases from v2 on ship the second root. The repository is signed once more while v2 is on
// trial, so that there is something to accept in it.
func anchored(repo *repository) Scenario {
	newer := repo.stages[len(repo.stages)-1]["metadata/2.root.json"]
	return Scenario{repo: repo,
		anchor: func(w *World) []byte {
			if b := w.boards[rootfs]; bytes.Contains(b.slots[b.booted].image, []byte(" v1 ")) {
				return repo.anchor
			}
			return newer
		},
		at: func(w *World) int { return min(3, min(w.boots, 2)+int(w.ran/(24*time.Hour))) }}
}

// shipsUnpublishedRoot is an image that was built with a root which never reached the repository. It is unhealthy, and the
// image before must still be updated after it.
func shipsUnpublishedRoot(t testing.TB) Scenario {
	s := anchored(publishEach(t, publication{component: rootfs, how: fine}, publication{component: rootfs, how: unhealthy}, publication{},
		publication{component: rootfs, how: fine}, publication{root: true}))
	for _, stage := range s.repo.stages[:4] {
		delete(stage, "metadata/2.root.json")
	}
	s.repo.stages = s.repo.stages[:4] // the root stays with the publisher; v3 is published without it
	s.anchor = unpublished(s)
	s.end = func(w *World, said agent.Status) bool {
		return rests(w, said, rootfs, 3) && said.Repository.LastProblem == nil && w.ran > 48*time.Hour
	}
	return s
}

// unpublished has only v2 ship the second root.
func unpublished(s Scenario) func(*World) []byte {
	return func(w *World) []byte {
		if b := w.boards[rootfs]; b.behaves(unhealthy) {
			return s.anchor(w)
		}
		return s.repo.anchor
	}
}

// shipsNewerRoot: the root is published, and adopted once its image is confirmed. Then the bootloader falls back, the image
// before has the first root only, and no mirror has the second one any more: the stored chain has.
func shipsNewerRoot(t testing.TB) Scenario {
	repo := publishEach(t, publication{component: rootfs, how: fine}, publication{component: rootfs, how: fine}, publication{root: true},
		publication{})
	s := anchored(repo)
	at := s.at
	s.at = func(w *World) int {
		switch {
		case w.boots < 2:
			return min(1, at(w)) // the root comes with the image
		case w.lostRecord && at(w) == 3:
			return 4 // with the database the stored chain is lost: then it takes a mirror that has all roots
		}
		return at(w)
	}
	whole := repo.stages[3]
	repo.stages[3] = maps.Clone(whole)
	delete(repo.stages[3], "metadata/2.root.json")
	repo.stages = append(repo.stages, whole)
	s.events = []event{fallsBack()}
	s.end = func(w *World, said agent.Status) bool {
		if w.ran < 72*time.Hour || said.Repository.LastProblem != nil {
			return false
		}
		if _, adopted := w.disk.documents[verifier.Key{Role: verifier.Root, Version: 2}]; !adopted {
			return w.lostRecord && rests(w, said, rootfs, 2)
		}
		return rests(w, said, rootfs, 2) || restsWith(w, said, rootfs, 1, agent.ReasonDegraded)
	}
	return s
}
