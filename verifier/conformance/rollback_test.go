package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// The suite's test_rollback.py: what is older than what was trusted, and how a repository recovers from versions
// that an attacker drove up.

func TestSnapshotReplacedBehindTheTimestamp(t *testing.T) {
	s, d := newTrusting(t)
	s.publish("snapshot", "timestamp")
	d.refresh(0)
	s.publish("snapshot")
	d.refresh(0)
	d.wantLastAsked("timestamp.json")
	d.wantTrusted("root 1, snapshot 2, targets 1, timestamp 2")
}

func TestTimestampRollback(t *testing.T) {
	s, d := newTrusting(t)
	s.publish("timestamp")
	d.refresh(0)
	s.forget("timestamp")
	s.docs["timestamp"]["version"] = 1
	s.publish("timestamp")
	d.refresh(1)
	d.wantLastAsked("timestamp.json")
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 2")
}

func TestSnapshotRollback(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		t.Run(fmt.Sprintf("with hashes %t", hashes), func(t *testing.T) {
			s, d := newTrusting(t)
			s.hashes = hashes
			s.publish("snapshot", "timestamp")
			d.refresh(0)
			s.forget("snapshot")
			s.docs["snapshot"]["version"] = 1
			s.publish("snapshot", "timestamp")
			d.refresh(1)
			d.wantLastAsked("timestamp.json")
			d.wantTrusted("root 1, snapshot 2, targets 1, timestamp 2")
		})
	}
}

func TestTargetsRollback(t *testing.T) {
	for _, hashes := range []bool{false, true} {
		t.Run(fmt.Sprintf("with hashes %t", hashes), func(t *testing.T) {
			s, d := newTrusting(t)
			s.hashes = hashes
			s.publish("targets", "snapshot", "timestamp")
			d.refresh(0)
			s.forget("targets")
			s.docs["targets"]["version"] = 1
			s.publish("targets", "snapshot", "timestamp")
			d.refresh(1)
			d.wantTrusted("root 1, snapshot 2, targets 2, timestamp 3")
		})
	}
}

func TestRootRollback(t *testing.T) {
	s, d := newTrusting(t)
	s.publish("root")
	d.refresh(0)
	s.put("root", [][]byte{s.files["root"][0], s.files["root"][1], s.files["root"][0]})
	d.refresh(1)
	d.wantTrusted("root 2, snapshot 1, targets 1, timestamp 1")
}

func TestRollbackAfterTheDatabaseIsLost(t *testing.T) {
	s, d := newTrusting(t)
	s.publish("root", "snapshot", "timestamp")
	d.refresh(0)
	if err := os.Remove(filepath.Join(d.dir, "agent.db")); err != nil {
		t.Fatal(err)
	}
	root, current := s.files["root"], s.files["timestamp"]
	s.put("timestamp", current[:1])
	d.refresh(1)
	s.put("root", root[:1]) // a chain that ends below the root trusted before
	d.refresh(1)
	s.put("timestamp", current)
	s.put("root", root)
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 2, targets 1, timestamp 2")
}

func TestTargetsFastForwardRecovery(t *testing.T) {
	s, d := newTrusting(t)
	for range 99 {
		s.publish("targets")
	}
	s.publish("snapshot", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 1, snapshot 2, targets 100, timestamp 2")
	s.rotate("snapshot")
	s.docs["targets"]["version"] = 1
	s.forget("targets")
	s.publish("targets", "root", "snapshot", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 3, targets 1, timestamp 3")
}

func TestSnapshotFastForwardRecovery(t *testing.T) {
	s, d := newTrusting(t)
	for range 99 {
		s.publish("snapshot")
	}
	s.publish("timestamp")
	d.refresh(0)
	d.wantTrusted("root 1, snapshot 100, targets 1, timestamp 2")
	s.rotate("snapshot")
	s.rotate("timestamp")
	s.forget("snapshot")
	s.docs["snapshot"]["version"] = 1
	s.publish("root", "targets", "snapshot", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 1, targets 2, timestamp 3")
}

func TestTimestampFastForwardRecovery(t *testing.T) {
	s, d := newTrusting(t)
	for range 99 {
		s.publish("timestamp")
	}
	d.refresh(0)
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 100")
	s.rotate("timestamp")
	s.docs["timestamp"]["version"] = 1
	s.forget("timestamp")
	s.publish("root", "targets", "snapshot", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 2, targets 2, timestamp 1")
}

func TestRotatedKeysDropTheExportedCopies(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.rotate("timestamp")
	s.publish("root") // timestamp 1 is signed by the old key
	d.refresh(1)
	d.wantTrusted("root 2, targets 1")
}

func TestSnapshotNewerThanTheTimestampSays(t *testing.T) {
	s, d := newTrusting(t)
	s.publish("snapshot")
	s.listed("timestamp", "snapshot.json")["version"] = 1
	s.publish("root", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 1, targets 1, timestamp 2")
}

func TestTargetsNewerThanTheSnapshotSays(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.publish("targets")
	d.refresh(0)
	d.wantLastAsked("timestamp.json")
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 1")
}
