package verifier

import (
	"bytes"
	"maps"
	"slices"
	"sort"
)

// KeyHash identifies a public key by its parsed value, not its spelling: two key IDs or PEM texts of one
// key give one KeyHash (row B2 of docs/tuf-coverage.md). It is the SHA-256 of the key's SubjectPublicKeyInfo in DER.
type KeyHash [32]byte

// FloorSignersMax is how many keys of a floor are kept. It bounds what must be durable; a floor behind which more keys
// must stand than this is void at once. Real thresholds are below ten.
const FloorSignersMax = 24

// A Floor is a version below which a role is never accepted, for as long as the keys that signed it would
// still meet the threshold of whoever delegates to the role now.
type Floor struct {
	Version int64
	Signers []KeyHash
}

// Floors outlive the database: losing it does not lower what the device demands.
type Floors struct {
	// RootVersion and RootSHA256 name the highest root ever trusted; a chain rebuilt from the anchor passes
	// through it. RootSHA256 is over the canonical form of the root's signed part, so that a root to which
	// signatures were added later is still the same root. Version 0: none yet.
	RootVersion int64
	RootSHA256  [32]byte
	Timestamp   Floor
	Snapshot    Floor
	// Index holds the rollback_index floor of each component, by the component's name. The verifier carries
	// it along unchanged.
	Index map[string]Floor
}

func (f Floor) clone() Floor { return Floor{f.Version, slices.Clone(f.Signers)} }

func (f Floor) equal(g Floor) bool {
	return f.Version == g.Version && slices.Equal(f.Signers, g.Signers)
}

// raised is f, or a floor at version if that is higher.
func (f Floor) raised(version int64, signers []KeyHash) Floor {
	if version <= f.Version {
		return f
	}
	return Floor{Version: version, Signers: floorSigners(signers)}
}

// floorSigners are the signers of a document as a floor keeps them: sorted, so that equal floors look equal, and not
// too many.
func floorSigners(by []KeyHash) []KeyHash {
	signers := slices.Clone(by)
	sort.Sort(KeyHashes(signers))
	return signers[:min(len(signers), FloorSignersMax)]
}

// KeyHashes sorts by value.
type KeyHashes []KeyHash

func (k KeyHashes) Len() int           { return len(k) }
func (k KeyHashes) Less(i, j int) bool { return bytes.Compare(k[i][:], k[j][:]) < 0 }
func (k KeyHashes) Swap(i, j int)      { k[i], k[j] = k[j], k[i] }

func (f Floors) clone() Floors {
	f.Timestamp, f.Snapshot = f.Timestamp.clone(), f.Snapshot.clone()
	f.Index = maps.Clone(f.Index)
	for name, floor := range f.Index {
		f.Index[name] = floor.clone()
	}
	return f
}

// equal compares what the verifier itself raises.
func (f Floors) equal(g Floors) bool {
	return f.RootVersion == g.RootVersion && f.RootSHA256 == g.RootSHA256 &&
		f.Timestamp.equal(g.Timestamp) && f.Snapshot.equal(g.Snapshot)
}

// below reports whether a floor was made void since g.
func (f Floors) below(g Floors) bool {
	return f.Timestamp.Version < g.Timestamp.Version || f.Snapshot.Version < g.Snapshot.Version
}

// void drops the floors of timestamp and snapshot when the keys behind one of them no longer meet root's
// threshold. Both go together, as both stored files do (TUF 5.3.11): a snapshot version that a stolen
// timestamp key drove up can be taken back by rotating either key.
func (f *Floors) void(root *rootRole) {
	if root.holds(Timestamp, f.Timestamp) && root.holds(Snapshot, f.Snapshot) {
		return
	}
	f.Timestamp, f.Snapshot = Floor{}, Floor{}
}
