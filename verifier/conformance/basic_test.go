package main

import (
	"testing"

	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// The suite's test_basic.py: what is asked for, what is kept, and what is refused.

func TestFirstRefreshAsksForFourFiles(t *testing.T) {
	_, d := newTrusting(t)
	d.refresh(0)
	d.wantAsked("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	d.refresh(0)
	d.wantAsked("2.root.json", "timestamp.json") // nothing new
}

func TestFirstRefreshKeepsFourRoles(t *testing.T) {
	s, d := newTrusting(t)
	d.wantTrusted("root 1")
	d.refresh(0)
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 1")
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		d.wantFile(role, s.last(role))
	}
}

func TestDownloadRefreshesFirst(t *testing.T) {
	s, d := newTrusting(t)
	d.download(1, "nonexistent artifact")
	d.wantAsked("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
	d.wantImagesAsked()
	for _, role := range []string{"root", "timestamp", "snapshot", "targets"} {
		d.wantFile(role, s.last(role))
	}
}

func TestBadAnchorCausesNoRequest(t *testing.T) {
	for name, change := range map[string]func(file tuftest.Object){
		"no version": func(file tuftest.Object) { delete(file["signed"].(tuftest.Object), "version") },
		"signature of something else": func(file tuftest.Object) {
			other := parsed(t, tuftest.Sign(tuftest.Object{}, tuftest.Ed25519("1")))
			file["signatures"] = other["signatures"]
		},
		"no signatures": func(file tuftest.Object) { file["signatures"] = []any{} },
		"null":          func(file tuftest.Object) { clear(file) },
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newScene(t)
			s.tamper("root", change)
			d.init(1, s.last("root"))
			d.refresh(1)
			d.download(1, "x")
			d.wantAsked()
			d.wantTrusted("")
		})
	}
}

func TestUnsignedRoleIsRefusedAndThoseBeforeItKept(t *testing.T) {
	for role, trusted := range map[string]string{
		"root":      "root 1",
		"timestamp": "root 2",
		"snapshot":  "root 2, timestamp 2",
		"targets":   "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			s, d := newTrusting(t)
			s.by[role] = nil
			s.publish("root", "targets", "snapshot", "timestamp")
			d.refresh(1)
			d.wantTrusted(trusted)
		})
	}
}

func TestVersionOtherThanTheFileNameSays(t *testing.T) {
	for role, trusted := range map[string]string{
		"root":     "root 1",
		"snapshot": "root 2, timestamp 2",
		"targets":  "root 2, snapshot 2, timestamp 2",
	} {
		t.Run(role, func(t *testing.T) {
			s, d := newTrusting(t)
			s.docs[role]["version"] = 2 // and so 3 is published in the place of 2
			s.publish("root", "targets", "snapshot", "timestamp")
			s.put(role, append(s.files[role], s.files[role][0])) // and 1 in the place of 3
			d.refresh(1)
			d.wantTrusted(trusted)
		})
	}
}

func TestTimestampChangedWithoutANewVersion(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	old := s.last("timestamp")
	s.listed("timestamp", "snapshot.json")["version"] = 100
	s.forget("timestamp")
	s.publish("timestamp")
	d.refresh(0)
	d.wantLastAsked("timestamp.json")
	d.wantFile("timestamp", old)
}

func TestMetadataHashes(t *testing.T) {
	s, d := newTrusting(t)
	s.hashes = true
	s.publish("targets", "snapshot", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 1, snapshot 2, targets 2, timestamp 2")
	s.publish("targets")
	s.listed("snapshot", "targets.json")["hashes"] = tuftest.Object{"sha256": digest("sha256", "something else")}
	s.publish("snapshot", "timestamp")
	d.refresh(1)
	d.wantTrusted("root 1, snapshot 3, targets 2, timestamp 3")
}

func TestBytesAreKeptAsReceived(t *testing.T) {
	s, d := newTrusting(t)
	s.put("timestamp", [][]byte{append(s.last("timestamp"), ' ')})
	d.refresh(0)
	d.wantFile("timestamp", s.last("timestamp"))
}

func TestUnknownFieldsAreSigned(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.docs["root"]["custom-field"] = "value"
	s.grant("root")["another-field"] = "value"
	s.addKey("root", s.newKey().With(func(entry tuftest.Object) { entry["extra-field"] = tuftest.Object{"a": 1, "b": 2} }))
	s.publish("root")
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 1, targets 1, timestamp 1")
}

func TestKeyIDHashAlgorithmsMeanNothing(t *testing.T) {
	s, d := newTrusting(t)
	s.clearKeys("snapshot")
	s.addKey("snapshot", s.newKey().With(func(entry tuftest.Object) { entry["keyid_hash_algorithms"] = "md5" }))
	s.publish("root", "snapshot", "timestamp")
	d.refresh(0)
	d.wantTrusted("root 2, snapshot 2, targets 1, timestamp 2")
}

func TestSnapshotAbsent(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.listed("timestamp", "snapshot.json")["version"] = 2
	s.publish("timestamp")
	d.refresh(1)
	d.wantLastAsked("2.snapshot.json")
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 2")
}

func TestTargetsAbsent(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.listed("snapshot", "targets.json")["version"] = 2
	s.publish("snapshot", "timestamp")
	d.refresh(1)
	d.wantLastAsked("2.targets.json")
	d.wantTrusted("root 1, snapshot 2, targets 1, timestamp 2")
}

func TestTimestampNotAnswered(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.forget("timestamp") // the suite's server breaks off without a word
	d.refresh(1)
	d.wantLastAsked("timestamp.json")
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestTimestampAbsent(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	s.put("timestamp", [][]byte{})
	d.refresh(1)
	d.wantLastAsked("timestamp.json")
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestNextRootNotAnswered(t *testing.T) {
	s, d := newTrusting(t)
	d.refresh(0)
	d.s.metadataAsked()
	s.forget("root") // a failure is not "no newer root" (TUF 5.3.3)
	s.publish("timestamp")
	d.refresh(1)
	d.wantAsked("2.root.json")
	d.wantTrusted("root 1, snapshot 1, targets 1, timestamp 1")
}

func TestSnapshotServedAsTimestamp(t *testing.T) {
	s, d := newTrusting(t)
	// Right in everything but its type: signed by the timestamp's key, and listing snapshot.json.
	s.addKey("snapshot", s.by["timestamp"][0])
	s.docs["snapshot"]["meta"] = tuftest.Object{"snapshot.json": tuftest.Object{"version": 1}}
	s.publish("root", "snapshot")
	s.put("timestamp", append(s.files["timestamp"], s.last("snapshot")))
	d.refresh(1)
	d.wantTrusted("root 2")
}

func TestRepositoryWithoutConsistentSnapshots(t *testing.T) {
	s, d := newTrusting(t)
	s.docs["root"]["consistent_snapshot"] = false
	s.add("targets", "path/to/file", "content")
	s.publish("root", "targets", "snapshot", "timestamp")
	d.download(0, "path/to/file")
	d.wantAsked("2.root.json", "3.root.json", "timestamp.json", "snapshot.json", "targets.json")
	d.wantImagesAsked("path/to/file")
	d.wantGot("content")
}
