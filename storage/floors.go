package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"github.com/ota-agent/ota-agent/verifier"
)

// The bounds of what the floors file holds. Floors within them always fit into a slot.
const (
	floorComponentsMax = 64
	floorSignersMax    = 24
	floorNameMax       = 64 // bytes of a component's name

	floorBytesMax  = 8 + 1 + floorSignersMax*32
	floorsBytesMax = 1 + 8 + 32 + 2*floorBytesMax + 1 + floorComponentsMax*(1+floorNameMax+floorBytesMax)
	floorsSlot     = 64 << 10
	floorsName     = "floors"
	floorsVersion  = 1
	// floorsMoreMax bytes may later versions append: a slot holds them behind the largest floors. Frozen, too.
	floorsMoreMax = floorsSlot - slotHeader - floorsBytesMax
)

// A slot must hold the largest floors.
const _ = uint(floorsMoreMax)

// encodeFloors is the payload of a floors record. Signers are sorted and each is there once, so equal floors
// have equal bytes. The layout is frozen: later versions may only append, and earlier ones skip what they append. They
// write it again behind the floors that they raise: it may be floors, too, and these don't fall either.
//
//	version 1 | root version 8 | root SHA-256 32 | timestamp | snapshot | count 1 | count × (name length 1, name, floor)
//	floor: version 8 | signers 1 | signers × 32
func encodeFloors(f verifier.Floors) ([]byte, error) {
	if f.RootVersion < 0 {
		return nil, beyond("floors: root version %d, expected 0 or more", f.RootVersion)
	}
	if len(f.Index) > floorComponentsMax {
		return nil, beyond("floors: %d components have a rollback_index, expected at most %d: "+
			"let components keep their names", len(f.Index), floorComponentsMax)
	}
	b := []byte{floorsVersion}
	b = binary.BigEndian.AppendUint64(b, uint64(f.RootVersion))
	b = append(b, f.RootSHA256[:]...)
	b, err := appendFloor(b, "timestamp", f.Timestamp)
	if err != nil {
		return nil, err
	}
	if b, err = appendFloor(b, "snapshot", f.Snapshot); err != nil {
		return nil, err
	}
	b = append(b, byte(len(f.Index)))
	for _, name := range slices.Sorted(maps.Keys(f.Index)) {
		if name == "" || len(name) > floorNameMax {
			return nil, beyond("floors: component name %q, expected 1 to %d bytes", name, floorNameMax)
		}
		b = append(append(b, byte(len(name))), name...)
		if b, err = appendFloor(b, name, f.Index[name]); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendFloor(b []byte, what string, f verifier.Floor) ([]byte, error) {
	signers := sortedSigners(f.Signers)
	if f.Version < 0 {
		return nil, beyond("floors: %s version %d, expected 0 or more", what, f.Version)
	}
	if len(signers) > floorSignersMax {
		return nil, beyond("floors: %s is signed by %d keys, expected at most %d: "+
			"let fewer keys sign that role", what, len(signers), floorSignersMax)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(f.Version))
	b = append(b, byte(len(signers)))
	for _, s := range signers {
		b = append(b, s[:]...)
	}
	return b, nil
}

func sortedSigners(list []verifier.KeyHash) []verifier.KeyHash {
	if len(list) == 0 {
		return nil
	}
	list = slices.Clone(list)
	sort.Sort(verifier.KeyHashes(list))
	return slices.Compact(list)
}

// decodeFloors reads what encodeFloors wrote.
func decodeFloors(b []byte) (verifier.Floors, error) {
	r := &floorsReader{rest: b}
	version := r.byte()
	if !r.bad && version != floorsVersion {
		return verifier.Floors{}, fmt.Errorf("floors version %d, expected %d: %w", version, floorsVersion, errNewer)
	}
	f := verifier.Floors{RootVersion: r.version()}
	copy(f.RootSHA256[:], r.take(32))
	f.Timestamp, f.Snapshot = r.floor(), r.floor()
	n, last := int(r.byte()), ""
	r.bad = r.bad || n > floorComponentsMax
	for i := 0; i < n && !r.bad; i++ {
		name := string(r.take(int(r.byte())))
		r.bad = r.bad || name <= last || len(name) > floorNameMax
		last = name
		if f.Index == nil {
			f.Index = make(map[string]verifier.Floor, n)
		}
		f.Index[name] = r.floor()
	}
	if r.bad {
		return verifier.Floors{}, fmt.Errorf("floors of %d bytes: %w", len(b), errDamaged)
	}
	return f, nil
}

// readFloors takes a record's payload apart: the floors, and what a newer agent appended to them.
func readFloors(payload []byte) (f verifier.Floors, more []byte, err error) {
	if f, err = decodeFloors(payload); err != nil {
		return f, nil, err
	}
	known, err := encodeFloors(f) // equal floors have equal bytes
	if err != nil {
		return f, nil, err
	}
	more = bytes.Clone(payload[min(len(known), len(payload)):])
	if len(more) > floorsMoreMax {
		err = fmt.Errorf("floors with %d bytes that this agent does not know, expected at most %d: %w", len(more), floorsMoreMax, errNewer)
	}
	return f, more, err
}

// A floorsReader takes floors apart. Once bad, it yields zeros.
type floorsReader struct {
	rest []byte
	bad  bool
}

func (r *floorsReader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return make([]byte, n)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *floorsReader) byte() byte { return r.take(1)[0] }

func (r *floorsReader) version() int64 {
	v := binary.BigEndian.Uint64(r.take(8))
	if v > math.MaxInt64 {
		r.bad = true
		return 0
	}
	return int64(v)
}

func (r *floorsReader) floor() verifier.Floor {
	f := verifier.Floor{Version: r.version()}
	n := int(r.byte())
	r.bad = r.bad || n > floorSignersMax
	for i := 0; i < n && !r.bad; i++ {
		k := verifier.KeyHash(r.take(32))
		r.bad = r.bad || i > 0 && bytes.Compare(f.Signers[i-1][:], k[:]) >= 0
		f.Signers = append(f.Signers, k)
	}
	return f
}

// raise is what the floors are after a commit asked for next. The verifier decides; but two of its runs may be
// under way at once, and the later commit must not undo the earlier one's. So the root never falls, and another
// floor falls only where its signers change, which is how the verifier voids one.
func raise(now, next verifier.Floors) verifier.Floors {
	sum := next
	if now.RootVersion > next.RootVersion {
		sum.RootVersion, sum.RootSHA256 = now.RootVersion, now.RootSHA256
	}
	sum.Timestamp = raiseFloor(now.Timestamp, next.Timestamp)
	sum.Snapshot = raiseFloor(now.Snapshot, next.Snapshot)
	sum.Index = nil
	if len(now.Index)+len(next.Index) > 0 {
		sum.Index = maps.Clone(now.Index)
		if sum.Index == nil {
			sum.Index = map[string]verifier.Floor{}
		}
		for name, f := range next.Index {
			sum.Index[name] = raiseFloor(now.Index[name], f)
		}
	}
	return sum
}

func raiseFloor(now, next verifier.Floor) verifier.Floor {
	now.Signers, next.Signers = sortedSigners(now.Signers), sortedSigners(next.Signers)
	if now.Version > next.Version && slices.Equal(now.Signers, next.Signers) {
		return now
	}
	return next
}

// cloneFloors gives a caller floors of its own.
func cloneFloors(f verifier.Floors) verifier.Floors { return raise(verifier.Floors{}, f) }
