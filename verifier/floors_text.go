package verifier

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// Bounds of floors as text.
const (
	// FloorsBytesMax bounds the text, in bytes.
	FloorsBytesMax = 256 << 10
	// FloorComponentsMax bounds how many components have a rollback_index floor, FloorNameMax a component's name in bytes.
	FloorComponentsMax = 64
	FloorNameMax       = 64
)

// FormatFloors writes floors as text, one line for each, for a file that people keep and compare:
//
//	{"root": {"version": 2, "sha256": HEX},
//	 "timestamp": {"version": 40, "signers": [HEX, …]}, "snapshot": {…},
//	 "rollback_index": {COMPONENT: {"version": 7, "signers": [HEX, …]}, …}}
//
// Floors that are not there are left out. Equal floors give equal bytes.
func FormatFloors(f Floors) []byte {
	b := fmt.Appendf(nil, "{\n  \"root\": {\"version\": %d, \"sha256\": \"%x\"}", f.RootVersion, f.RootSHA256)
	b = appendFloor(b, ",\n  \"timestamp\": ", f.Timestamp)
	b = appendFloor(b, ",\n  \"snapshot\": ", f.Snapshot)
	before := ",\n  \"rollback_index\": {\n    "
	for _, name := range slices.Sorted(maps.Keys(f.Index)) {
		b = appendFloor(b, before+strconv.Quote(name)+": ", f.Index[name])
		before = ",\n    "
	}
	if len(f.Index) > 0 {
		b = append(b, "\n  }"...)
	}
	return append(b, "\n}\n"...)
}

func appendFloor(b []byte, before string, f Floor) []byte {
	if f.Version == 0 {
		return b
	}
	b = fmt.Appendf(b, "%s{\"version\": %d, \"signers\": [", before, f.Version)
	for i, k := range floorSigners(f.Signers) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = fmt.Appendf(b, "\"%x\"", k)
	}
	return append(b, "]}"...)
}

// ParseFloors reads what FormatFloors writes, with any white space and order of members. Members that are not known are
// refused: a floor that is overlooked for a slip of the pen is worse than none. Errors say the place, what was expected and
// what came.
func ParseFloors(text []byte) (Floors, error) {
	if len(text) > FloorsBytesMax {
		return Floors{}, fmt.Errorf("floors: %d bytes, expected at most %d", len(text), FloorsBytesMax)
	}
	v, err := strict.Parse(text)
	if err != nil {
		return Floors{}, fmt.Errorf("floors: %w", err)
	}
	var f Floors
	err = v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "root":
			f.RootVersion, f.RootSHA256, err = readRootFloor(v)
		case "timestamp":
			f.Timestamp, err = readFloor(v)
		case "snapshot":
			f.Snapshot, err = readFloor(v)
		case "rollback_index":
			f.Index, err = readIndexFloors(v)
		default:
			err = unknownFloor(name)
		}
		return err
	})
	if err == nil && f.RootVersion == 0 {
		err = fmt.Errorf("no member root: it says what the others hang on")
	}
	if err != nil {
		return Floors{}, fmt.Errorf("floors: %w", err)
	}
	return f, nil
}

func readRootFloor(v strict.Value) (version int64, sum [32]byte, err error) {
	err = v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "version":
			version, err = readFloorVersion(v)
		case "sha256":
			sum, err = readSum(v)
		default:
			err = unknownFloor(name)
		}
		return err
	})
	if err == nil && (version == 0 || sum == [32]byte{}) {
		err = v.Refuse("an object with version and sha256")
	}
	return version, sum, err
}

func readFloor(v strict.Value) (f Floor, err error) {
	err = v.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "version":
			f.Version, err = readFloorVersion(v)
		case "signers":
			f.Signers, err = readFloorSigners(v)
		default:
			err = unknownFloor(name)
		}
		return err
	})
	if err == nil && (f.Version == 0 || len(f.Signers) == 0) {
		err = v.Refuse("an object with version and signers")
	}
	f.Signers = floorSigners(f.Signers)
	return f, err
}

func readIndexFloors(v strict.Value) (map[string]Floor, error) {
	all := map[string]Floor{}
	err := v.Object(func(name []byte, floor strict.Value) (err error) {
		if len(name) == 0 || len(name) > FloorNameMax || len(all) == FloorComponentsMax {
			return v.Refuse(fmt.Sprintf("at most %d components with names of 1 to %d bytes", FloorComponentsMax, FloorNameMax))
		}
		all[string(name)], err = readFloor(floor)
		return err
	})
	return all, err
}

func readFloorVersion(v strict.Value) (int64, error) {
	n, err := v.Int()
	if err == nil && n < 1 {
		err = v.Refuse("an integer of 1 or more")
	}
	return n, err
}

func readFloorSigners(v strict.Value) (all []KeyHash, err error) {
	err = v.Array(func(n int, element strict.Value) error {
		if n == FloorSignersMax {
			return v.Refuse(fmt.Sprintf("at most %d keys", FloorSignersMax))
		}
		sum, err := readSum(element)
		if slices.Contains(all, KeyHash(sum)) {
			return element.Refuse("a key that was not listed before")
		}
		all = append(all, sum)
		return err
	})
	return all, err
}

func readSum(v strict.Value) (sum [32]byte, err error) {
	b, err := v.Hex()
	if err == nil && len(b) != len(sum) {
		err = v.Refuse("64 hex digits")
	}
	copy(sum[:], b)
	return sum, err
}

func unknownFloor(name []byte) error {
	return fmt.Errorf("a member %s, which is not known", excerpt(string(name)))
}
