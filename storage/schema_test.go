package storage

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// schema1 is what the store in testdata/schema1 holds. It was committed once, by the first agent, and must be
// readable by every later one: the agent lives in the slot that it updates, and finds the database of whichever
// agent ran before.
func schema1() agent.Change {
	at := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	problem := agent.Problem{Reason: agent.ReasonUnhealthy, Text: "health said no", At: at}
	release := agent.Release{Target: verifier.Target{Path: "board/stable/rootfs.img", Name: "board/stable/rootfs.img", Length: 12345,
		SHA256: bytes.Repeat([]byte{0xab}, 32)}, Signers: []verifier.KeyHash{{1}}}
	return agent.Change{
		Metadata: verifier.Change{
			Put: []verifier.Document{
				{Key: verifier.Key{Role: verifier.Root, Version: 1}, Bytes: []byte("root 1")},
				{Key: verifier.Key{Role: verifier.Root, Version: 2}, Bytes: []byte("root 2")},
				{Key: verifier.Key{Role: verifier.Timestamp}, Bytes: []byte("timestamp")},
				{Key: verifier.Key{Role: verifier.Targets}, Bytes: bytes.Repeat([]byte("large "), 12_000)},
				{Key: verifier.Key{Role: verifier.Targets, Kind: verifier.Receipt}, Bytes: []byte("receipt")},
			},
			Floors: &verifier.Floors{RootVersion: 2, RootSHA256: [32]byte{5}, Timestamp: verifier.Floor{Version: 30, Signers: []verifier.KeyHash{{1}, {2}}},
				Snapshot: verifier.Floor{Version: 20, Signers: []verifier.KeyHash{{3}}},
				Index:    map[string]verifier.Floor{"rootfs": {Version: 7, Signers: []verifier.KeyHash{{4}}}}},
		},
		Records: []agent.Record{
			{Schema: 1, Component: "rootfs", Phase: agent.Trial, Release: &release, Hook: "/hook", Reboot: true, TargetSlot: "B", BootID: "boot",
				LostBoots: 1, Confirmed: &release, ConfirmedSlot: "A",
				Rejected: []agent.Rejection{{ID: "bad", Version: "1", First: problem, Last: problem, Count: 2}},
				Held:     []agent.Hold{{ID: "held", Count: 3, Until: at}}},
			{Schema: 1, Component: "app", Phase: agent.Idle},
		},
		Time:   &agent.TimeFloor{SignedAt: at, Accrued: 48 * time.Hour},
		Device: &agent.DeviceState{Paused: true},
	}
}

func TestDatabaseOfSchema1(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("it was written on a little-endian machine")
	}
	dir := filepath.Join(fastDir(t), "state")
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "schema1"))))
	s := openT(t, dir)
	want, st := schema1(), loadT(t, s)
	if st.Recovered != nil {
		t.Errorf("recovered: %q", st.Recovered)
	}
	if !reflect.DeepEqual(st.Floors, *want.Metadata.Floors) {
		t.Errorf("floors: %+v", st.Floors)
	}
	for _, r := range want.Records {
		if !reflect.DeepEqual(st.Records[r.Component], r) {
			t.Errorf("record: %+v, expected %+v", st.Records[r.Component], r)
		}
	}
	if !st.Time.SignedAt.Equal(want.Time.SignedAt) || st.Time.Accrued != want.Time.Accrued || st.Device != *want.Device {
		t.Errorf("time %+v, device %+v", st.Time, st.Device)
	}
	for _, d := range want.Metadata.Put {
		got, err := s.Document(d.Key)
		must(t, err)
		wantBytes(t, d.Key.Role, got, d.Bytes)
	}
	must(t, s.Commit(want))
	if c := s.Counters(); c.Commits != 0 {
		t.Errorf("the same values are written in another way now: %+v", c)
	}
}

// A newer agent that did away with a bucket says that it needs newer readers: its database is no damage.
func TestNewerSchemaWithoutABucket(t *testing.T) {
	dir := fastDir(t)
	s := openT(t, dir)
	must(t, s.Commit(lifeChange(2)))
	must(t, s.Close())
	path := filepath.Join(dir, databaseName)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket([]byte(bucketStore)).Put([]byte(keySchema), schemaSays(7, 7)(nil)); err != nil {
			return err
		}
		return tx.DeleteBucket([]byte(bucketReceipts)) // it is empty: the count stays right
	}))
	must(t, db.Close())
	before, err := os.ReadFile(path)
	must(t, err)
	_, err = Open(dir, Options{})
	wantReason(t, err, agent.ReasonStore)
	after, err := os.ReadFile(path)
	must(t, err)
	wantBytes(t, "database", after, before)
}
