package sim

import (
	"path"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// floorsAt are what a publisher ships with an image that it makes when the repository is at a stage, beside its first root.
func floorsAt(t testing.TB, repo *repository, stage int) verifier.Floors {
	t.Helper()
	refresh, err := verifier.Begin(repo.anchor, verifier.Floors{}, epoch, verifier.Limits{})
	must(t, err)
	answer := func(q verifier.Request) verifier.Answer {
		b, ok := repo.stages[stage][path.Join("metadata", q.Name)]
		if !ok || q.Source == verifier.Stored {
			return verifier.Absent()
		}
		return verifier.Bytes(b)
	}
	nothing := func(verifier.Change) error { return nil }
	must(t, verifier.Drive(refresh, answer, nothing))
	search := refresh.Find("board/stable/" + rootfs + ".img")
	must(t, verifier.Drive(search, answer, nothing))
	found, err := search.Found()
	must(t, err)
	floors := refresh.Floors()
	floors.Index = map[string]verifier.Floor{rootfs: {Version: 3, Signers: found.Signers}}
	return floors
}

// demandsFloors is a device without any state whose image was made at the second stage, and demands index 3. For some hours its mirror
// replays the first stage, which nobody has revoked and which has not expired; and what the second one lists has a lower index.
func demandsFloors(t testing.TB) Scenario {
	repo := publishAll(t, fine, fine, fine)
	minimum := floorsAt(t, repo, 1)
	return Scenario{repo: repo, end: runs(3), minimum: func(*World) verifier.Floors { return minimum },
		at: func(w *World) int { return min(2, int(w.ran/(day/2))) }}
}

// demandsTooMuch is a release that is good, but was built for another publisher's repository, which is further on. It can't be
// confirmed, and the one before it must go on as if nothing had been.
func demandsTooMuch(t testing.TB) Scenario {
	repo := publishEach(t, publication{component: rootfs, how: fine}, publication{component: rootfs, how: demanding},
		publication{component: rootfs, how: fine, root: true})
	minimum := floorsAt(t, repo, 1)
	minimum.Timestamp.Version, minimum.Snapshot.Version = 1000, 1000
	return Scenario{repo: repo, end: runs(3),
		minimum: ofDemanding(minimum),
		at:      func(w *World) int { return min(2, w.boots) }} // the new root comes while it is on trial
}

// ofDemanding has only the demanding release ship floors.
func ofDemanding(minimum verifier.Floors) func(*World) verifier.Floors {
	return func(w *World) verifier.Floors {
		if w.boards[rootfs].behaves(demanding) {
			return minimum
		}
		return verifier.Floors{}
	}
}

// refusesItself is a release that was built with a floor above its own index: on trial it finds that it must not be
// installed. The release before would take it up again and again.
func refusesItself(t testing.TB) Scenario {
	repo := publishAll(t, fine, demanding)
	minimum := floorsAt(t, repo, 1)
	return Scenario{repo: repo, end: keeps(1, agent.ReasonHeld), minimum: ofDemanding(minimum)}
}
