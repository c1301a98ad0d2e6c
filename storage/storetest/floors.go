package storetest

import (
	"reflect"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

func floor(version int64, signers ...byte) verifier.Floor {
	f := verifier.Floor{Version: version}
	for _, b := range signers {
		f.Signers = append(f.Signers, verifier.KeyHash{b})
	}
	return f
}

func floorsAreKept(t *testing.T, s agent.Store) {
	want := verifier.Floors{RootVersion: 3, RootSHA256: [32]byte{7}, Timestamp: floor(9, 1, 2), Snapshot: floor(8, 3),
		Index: map[string]verifier.Floor{"rootfs": floor(5, 4), "app": floor(0)}}
	commit(t, s, withFloors(want))
	each(t, s, func(t *testing.T, s agent.Store) { wantFloors(t, s, want) })
}

func wantFloors(t *testing.T, s agent.Store, want verifier.Floors) {
	t.Helper()
	if got := loaded(t, s).Floors; !reflect.DeepEqual(got, want) {
		t.Errorf("floors %+v, expected %+v", got, want)
	}
}

// Two refreshes, or a refresh and a confirm, may overlap: the one that began earlier must not take back what the
// other one raised.
func floorsNeverFall(t *testing.T, s agent.Store) {
	high := verifier.Floors{RootVersion: 3, RootSHA256: [32]byte{7}, Timestamp: floor(9, 1, 2), Snapshot: floor(8, 3),
		Index: map[string]verifier.Floor{"rootfs": floor(5, 4)}}
	commit(t, s, withFloors(high))
	commit(t, s, withFloors(verifier.Floors{RootVersion: 2, RootSHA256: [32]byte{6}, Timestamp: floor(8, 2, 1),
		Snapshot: floor(1, 3), Index: map[string]verifier.Floor{"rootfs": floor(4, 4)}}))
	each(t, s, func(t *testing.T, s agent.Store) { wantFloors(t, s, high) })
}

// Fast-forward recovery: whoever had the keys set a version far ahead; with new keys it is void.
func floorsMayBeVoided(t *testing.T, s agent.Store) {
	commit(t, s, withFloors(verifier.Floors{RootVersion: 1, Timestamp: floor(1<<40, 1), Snapshot: floor(1<<40, 1),
		Index: map[string]verifier.Floor{"a": floor(1<<40, 1)}}))
	want := verifier.Floors{RootVersion: 2, RootSHA256: [32]byte{2}, Timestamp: floor(5, 2), Snapshot: floor(5, 2),
		Index: map[string]verifier.Floor{"a": floor(5, 2)}}
	commit(t, s, withFloors(want))
	each(t, s, func(t *testing.T, s agent.Store) { wantFloors(t, s, want) })
}

func indexIsMerged(t *testing.T, s agent.Store) {
	commit(t, s, withFloors(verifier.Floors{Index: map[string]verifier.Floor{"a": floor(5, 1)}}))
	commit(t, s, withFloors(verifier.Floors{Index: map[string]verifier.Floor{"b": floor(2, 1)}}))
	each(t, s, func(t *testing.T, s agent.Store) {
		wantFloors(t, s, verifier.Floors{Index: map[string]verifier.Floor{"a": floor(5, 1), "b": floor(2, 1)}})
	})
}
