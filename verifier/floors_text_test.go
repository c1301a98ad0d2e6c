package verifier_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
)

var someFloors = verifier.Floors{
	RootVersion: 3, RootSHA256: [32]byte{1, 2, 3},
	Timestamp: verifier.Floor{Version: 40, Signers: []verifier.KeyHash{{4}, {5}}},
	Snapshot:  verifier.Floor{Version: 39, Signers: []verifier.KeyHash{{6}}},
	Index: map[string]verifier.Floor{"rootfs": {Version: 7, Signers: []verifier.KeyHash{{8}}},
		"app": {Version: 1 << 60, Signers: []verifier.KeyHash{{9}}}},
}

func TestFloorsAreReadAsWritten(t *testing.T) {
	for _, f := range []verifier.Floors{someFloors, {RootVersion: 1, RootSHA256: [32]byte{1}}} {
		text := verifier.FormatFloors(f)
		got, err := verifier.ParseFloors(text)
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%s\nwas read as %+v, %v", text, got, err)
		}
	}
}

// A floor that is overlooked is worse than none: nothing is skipped.
func TestFloorsAreReadStrictly(t *testing.T) {
	text := string(verifier.FormatFloors(someFloors))
	for what, c := range map[string][3]string{
		"not JSON":               {text, "{", "end of the input"},
		"an unknown member":      {`"snapshot"`, `"snapshots"`, `"snapshots"`},
		"another unknown member": {`"signers"`, `"signer"`, `"signer"`},
		"one in the root":        {`"sha256"`, `"sha265"`, `"sha265"`},
		"no root":                {`  "root": {"version": 3, "sha256": "0102030000000000000000000000000000000000000000000000000000000000"},`, "", "root"},
		"a root without a hash":  {`, "sha256": "0102030000000000000000000000000000000000000000000000000000000000"`, "", "sha256"},
		"a version of zero":      {`"version": 39`, `"version": 0`, "1 or more"},
		"a version below zero":   {`"version": 39`, `"version": -1`, "1 or more"},
		"a short key":            {`"06`, `"`, "64 hex digits"},
		"a long key":             {`"06`, `"0606`, "64 hex digits"},
		"no key":                 {`"0600000000000000000000000000000000000000000000000000000000000000"`, "", "signers"},
		"a key twice":            {`"05`, `"04`, "not listed before"},
		"a long name":            {`"app"`, `"` + strings.Repeat("a", 65) + `"`, "64 bytes"},
		"an empty name":          {`"app"`, `""`, "64 bytes"},
		"a duplicate":            {`"rootfs"`, `"app"`, "app"},
		"too much":               {"}\n", "}" + strings.Repeat(" ", verifier.FloorsBytesMax), "bytes"},
	} {
		if !strings.Contains(text, c[0]) {
			t.Fatalf("%s: no %q in\n%s", what, c[0], text)
		}
		_, err := verifier.ParseFloors([]byte(strings.Replace(text, c[0], c[1], 1)))
		if err == nil || !strings.Contains(err.Error(), c[2]) {
			t.Errorf("%s: %v, want an error about %q", what, err, c[2])
		}
	}
}

func FuzzParseFloors(f *testing.F) {
	f.Add(verifier.FormatFloors(someFloors))
	f.Add([]byte(`{"root":{"version":1,"sha256":"00"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		floors, err := verifier.ParseFloors(text)
		if err != nil {
			return
		}
		again, err := verifier.ParseFloors(verifier.FormatFloors(floors))
		if err != nil || !bytes.Equal(verifier.FormatFloors(again), verifier.FormatFloors(floors)) {
			t.Errorf("%+v was written and read as %+v, %v", floors, again, err)
		}
	})
}
