package storage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

func signers(n int) []verifier.KeyHash {
	list := make([]verifier.KeyHash, n)
	for i := range list {
		list[i] = verifier.KeyHash{byte(i), 0xff}
	}
	return list
}

// largestFloors are as large as the bounds allow.
func largestFloors() verifier.Floors {
	f := verifier.Floor{Version: 1<<63 - 1, Signers: signers(floorSignersMax)}
	all := verifier.Floors{RootVersion: 1<<63 - 1, RootSHA256: [32]byte{1}, Timestamp: f, Snapshot: f, Index: map[string]verifier.Floor{}}
	for i := range floorComponentsMax {
		all.Index[fmt.Sprintf("%0*d", floorNameMax, i)] = f
	}
	return all
}

func commitFloors(s *Store, f verifier.Floors) error {
	return s.Commit(agent.Change{Metadata: verifier.Change{Floors: &f}})
}

func TestLargestFloorsFit(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, commitFloors(s, largestFloors()))
	must(t, s.Close())
	if got := loadT(t, openT(t, dir)).Floors; !reflect.DeepEqual(got, largestFloors()) {
		t.Error("the largest floors came back changed")
	}
}

func TestFloorsBeyondTheBoundsAreRefused(t *testing.T) {
	with := func(change func(f *verifier.Floors)) verifier.Floors {
		f := largestFloors()
		change(&f)
		return f
	}
	long := strings.Repeat("n", floorNameMax+1)
	for name, f := range map[string]verifier.Floors{
		"signers":           with(func(f *verifier.Floors) { f.Timestamp.Signers = signers(floorSignersMax + 1) }),
		"signers of index":  {Index: map[string]verifier.Floor{"a": {Signers: signers(floorSignersMax + 1)}}},
		"components":        with(func(f *verifier.Floors) { f.Index["one more"] = verifier.Floor{} }),
		"component's name":  {Index: map[string]verifier.Floor{long: {}}},
		"no name":           {Index: map[string]verifier.Floor{"": {}}},
		"version":           {Snapshot: verifier.Floor{Version: -1, Signers: signers(1)}},
		"component version": {Index: map[string]verifier.Floor{"a": {Version: -1, Signers: signers(1)}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := openT(t, fastDir(t))
			wantReason(t, commitFloors(s, f), agent.ReasonLimit)
			if n := s.Counters().Commits; n != 1 { // the one that made the database
				t.Errorf("%d commits", n)
			}
			must(t, commitFloors(s, verifier.Floors{RootVersion: 1})) // the store goes on
		})
	}
}

// Each byte of the floors file, flipped: the floors are as they were, from the other record or from the
// database's copy.
func TestFloorsFileFlipped(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	for v := int64(1); v <= 4; v++ {
		must(t, commitFloors(s, verifier.Floors{RootVersion: v, Timestamp: verifier.Floor{Version: 10 * v, Signers: signers(2)}}))
	}
	want := loadT(t, s).Floors
	must(t, s.Close())
	path := filepath.Join(dir, floorsName)
	good, err := os.ReadFile(path)
	must(t, err)
	for _, slot := range []int{0, floorsSlot} {
		for i := range 160 {
			bad := bytes.Clone(good)
			bad[slot+i] ^= 1 << (i % 8)
			must(t, os.WriteFile(path, bad, 0o600))
			s := openT(t, dir)
			if st := loadT(t, s); !reflect.DeepEqual(st.Floors, want) {
				t.Fatalf("byte %d: floors %+v", slot+i, st.Floors)
			}
			must(t, s.Close())
		}
	}
}

func TestFloorsFileLost(t *testing.T) {
	for name, lose := range map[string]func(path string) error{
		"gone":      os.Remove,
		"empty":     func(path string) error { return os.Truncate(path, 0) },
		"truncated": func(path string) error { return os.Truncate(path, 10) },
		"zeros":     func(path string) error { return os.WriteFile(path, make([]byte, 2*floorsSlot), 0o600) },
	} {
		for _, database := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, database kept: %t", name, database), func(t *testing.T) {
				dir := fastDir(t)
				s := openT(t, dir)
				must(t, s.Commit(lifeChange(3)))
				must(t, s.Commit(lifeChange(4)))
				must(t, s.Close())
				must(t, lose(filepath.Join(dir, floorsName)))
				want := int64(4)
				if !database {
					must(t, os.Remove(filepath.Join(dir, databaseName)))
					want = 0
				}
				s = openT(t, dir)
				st := loadT(t, s)
				if st.Floors.RootVersion != want || st.Floors.Timestamp.Version != want {
					t.Errorf("floors %+v, expected %d", st.Floors, want)
				}
				losses := 1
				if !database {
					losses = 2
					if name == "gone" {
						losses = 0 // it looks like a new device
					}
				}
				if len(st.Recovered) != losses {
					t.Errorf("%d losses, recovered: %q", losses, st.Recovered)
				}
				must(t, s.Commit(agent.Change{Device: &agent.DeviceState{Paused: true}}))
				must(t, s.Close())
				if st := loadT(t, openT(t, dir)); st.Recovered != nil || st.Floors.RootVersion != want {
					t.Errorf("next start: %+v", st)
				}
			})
		}
	}
}

// A torn write of either record, cut at every byte.
func TestSlotTorn(t *testing.T) {
	d, err := openDir(&disk{}, fastDir(t), false)
	must(t, err)
	s, err := createSlots(d, "slots", 512, 1, []byte("first"))
	must(t, err)
	must(t, s.write([]byte("second")))
	old, err := os.ReadFile(d.join("slots"))
	must(t, err)
	must(t, s.write([]byte("the third record")))
	now, err := os.ReadFile(d.join("slots"))
	must(t, err)
	seen := map[string]int{}
	for cut := range len(now) {
		torn := append(bytes.Clone(now[:cut]), old[cut:]...)
		must(t, os.WriteFile(d.join("slots"), torn, 0o600))
		s, payload, err := openSlots(d, "slots", 512, os.O_RDWR, anyPayload)
		must(t, err)
		seen[string(payload)]++
		must(t, s.write([]byte("next")))
		must(t, s.close())
		s, payload, err = openSlots(d, "slots", 512, os.O_RDONLY, anyPayload)
		if err != nil || string(payload) != "next" {
			t.Fatalf("cut at %d: %q, %v", cut, payload, err)
		}
		must(t, s.close())
	}
	if len(seen) != 2 || seen["second"] == 0 || seen["the third record"] == 0 {
		t.Errorf("seen: %v", seen)
	}
}

func FuzzDecodeFloors(f *testing.F) {
	for _, floors := range []verifier.Floors{{}, {RootVersion: 1, Timestamp: verifier.Floor{Version: 2, Signers: signers(3)},
		Index: map[string]verifier.Floor{"a": {Version: 5, Signers: signers(1)}, "b": {}}}, largestFloors()} {
		b, err := encodeFloors(floors)
		must(f, err)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		floors, err := decodeFloors(b)
		if err != nil {
			if !isDamaged(err) && !isNewer(err) {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := encodeFloors(floors)
		must(t, err)
		if !bytes.HasPrefix(b, again) { // a newer agent may have appended to it
			t.Fatalf("%x was read as %+v, which is written as %x", b, floors, again)
		}
	})
}

func FuzzDecodeSlot(f *testing.F) {
	f.Add(encodeSlot(1, nil))
	f.Add(encodeSlot(1<<63, []byte("payload")))
	f.Fuzz(func(t *testing.T, b []byte) {
		seq, payload, err := decodeSlot(b)
		if err == nil && !bytes.HasPrefix(b, encodeSlot(seq, payload)) {
			t.Fatalf("%x was read as record %d %x", b, seq, payload)
		}
	})
}

func anyPayload([]byte) error { return nil }
