package main

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"testing"

	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// The suite's test_keys.py and test_updater_key_rotations.py.

func TestSnapshotBelowItsThreshold(t *testing.T) {
	s, d := newTrusting(t)
	s.grant("snapshot")["threshold"] = 3
	s.addKey("snapshot")
	s.addKey("snapshot")
	s.publish("root", "targets", "snapshot", "timestamp")
	d.refresh(0)
	s.by["snapshot"] = s.by["snapshot"][:2]
	s.publish("targets", "snapshot", "timestamp")
	d.refresh(1)
	d.wantTrusted("root 2, snapshot 2, targets 2, timestamp 3")
}

func TestThresholdAboveTheNumberOfKeys(t *testing.T) {
	s, d := newTrusting(t)
	for range 4 {
		s.addKey("snapshot")
	}
	s.grant("snapshot")["threshold"] = 6
	s.publish("root", "snapshot", "timestamp")
	d.refresh(1)
	d.wantTrusted("root 2, timestamp 2")
}

func TestOneKeyListedAndSigningManyTimes(t *testing.T) {
	s, d := newTrusting(t)
	key := s.newKey()
	s.addKey("snapshot", key)
	for range 8 {
		s.listKeys("snapshot", key)
	}
	s.grant("snapshot")["threshold"] = 6
	s.publish("root", "snapshot", "timestamp")
	s.tamper("snapshot", func(file tuftest.Object) {
		signatures := file["signatures"].([]any)
		for range 8 {
			signatures = append(signatures, signatures[1])
		}
		file["signatures"] = signatures
	})
	d.refresh(1)
	d.wantTrusted("root 1")
}

func TestOneKeyUnderManyIDs(t *testing.T) {
	s, d := newTrusting(t)
	key := s.newKey()
	s.addKey("snapshot", key)
	for _, id := range []string{"a", "b", "c", "d"} {
		s.addKey("snapshot", key.As(id))
	}
	s.grant("snapshot")["threshold"] = 3 // of two keys
	s.publish("root", "snapshot", "timestamp")
	d.refresh(1)
	d.wantTrusted("root 2, timestamp 2")
}

func TestKeyIDTwiceInSignatures(t *testing.T) {
	s, d := newTrusting(t)
	s.tamper("snapshot", func(file tuftest.Object) {
		signatures := file["signatures"].([]any)
		file["signatures"] = append(signatures, signatures[0])
	})
	d.refresh(1)
	d.wantTrusted("root 1, timestamp 1")
}

func TestKeyTypesAndSchemes(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]*tuftest.Key{
		"rsa/rsassa-pss-sha256":     tuftest.RSA("k", private, "rsassa-pss-sha256", rsa.PSSSaltLengthEqualsHash),
		"rsa/rsassa-pss-sha256 max": tuftest.RSA("k", private, "rsassa-pss-sha256", rsa.PSSSaltLengthAuto),
		"rsa/rsa-pkcs1v15-sha256":   tuftest.RSA("k", private, "rsa-pkcs1v15-sha256", 0),
		"ecdsa/ecdsa-sha2-nistp256": tuftest.ECDSA("k", elliptic.P256()),
		"ecdsa/ecdsa-sha2-nistp384": tuftest.ECDSA("k", elliptic.P384()),
		"ecdsa/ecdsa-sha2-nistp521": tuftest.ECDSA("k", elliptic.P521()),
		"ed25519/ed25519":           tuftest.Ed25519("another"),
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newTrusting(t)
			s.addKey("root", key)
			s.grant("root")["threshold"] = 2 // so the new key is needed
			s.publish("root")
			d.refresh(0)
			d.wantTrusted("root 2, snapshot 1, targets 1, timestamp 1")
			s.publish("root")
			s.tamper("root", func(file tuftest.Object) { // a good signature by this key, of something else
				other := parsed(t, tuftest.Sign(tuftest.Object{}, key))
				file["signatures"].([]any)[1] = other["signatures"].([]any)[0]
			})
			d.refresh(1)
			d.wantTrusted("root 2, snapshot 1, targets 1, timestamp 1")
		})
	}
}

func parsed(t *testing.T, file []byte) (o tuftest.Object) {
	t.Helper()
	if err := json.Unmarshal(file, &o); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestWrongSignatureBesideEnoughRightOnes(t *testing.T) {
	s, d := newTrusting(t)
	old := parsed(t, s.last("timestamp"))["signatures"].([]any)[0].(tuftest.Object)["sig"]
	s.addKey("timestamp")
	s.publish("root")
	for _, sig := range []any{old, "", "not hex"} {
		s.publish("timestamp")
		s.tamper("timestamp", func(file tuftest.Object) {
			file["signatures"].([]any)[0].(tuftest.Object)["sig"] = sig
		})
		d.refresh(0)
		d.wantFile("timestamp", s.last("timestamp"))
	}
}

// A rootVersion is a root by the numbers of its keys and of those who sign it.
type rootVersion struct {
	keys      []int
	threshold int
	by        []int
}

func TestRootRotation(t *testing.T) {
	five := []int{0, 1, 2, 3, 4}
	for name, c := range map[string]struct {
		versions []rootVersion
		refused  bool // the last one
	}{
		"1-of-1-key-rotation": {versions: []rootVersion{
			{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 1}}, {[]int{2}, 1, []int{2}}}},
		"1-of-1-key-rotation-unused-signatures": {versions: []rootVersion{
			{[]int{1}, 1, []int{3, 1, 4}}, {[]int{2}, 1, []int{3, 2, 1, 4}}, {[]int{2}, 1, []int{3, 2, 4}}}},
		"3-of-5-sign-with-different-keycombos": {versions: []rootVersion{
			{five, 3, []int{0, 2, 4}}, {five, 3, []int{0, 4, 1}}, {five, 3, []int{0, 1, 3}}, {five, 3, []int{0, 1, 3}}}},
		"3-of-5-one-key-rotated": {versions: []rootVersion{
			{five, 3, []int{0, 2, 4}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 1}}}},
		"3-of-5-one-key-rotated-with-intermediate-step": {versions: []rootVersion{
			{five, 3, []int{0, 2, 4}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4, 5}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 5}}}},
		"3-of-5-all-keys-rotated-with-intermediate-step": {versions: []rootVersion{
			{five, 3, []int{0, 2, 4}}, {[]int{5, 6, 7, 8, 9}, 3, []int{0, 2, 4, 5, 6, 7}}, {[]int{5, 6, 7, 8, 9}, 3, []int{5, 6, 7}}}},
		"1-of-3-threshold-increase-to-2-of-3": {versions: []rootVersion{
			{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{1, 2}}}},
		"2-of-3-threshold-decrease-to-1-of-3": {versions: []rootVersion{
			{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}},
		"1-of-2-threshold-increase-to-2-of-2": {versions: []rootVersion{
			{[]int{1}, 1, []int{1}}, {[]int{1, 2}, 2, []int{1, 2}}}},
		"not-signed-with-old-key": {refused: true, versions: []rootVersion{
			{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{2, 3, 4}}}},
		"not-signed-with-new-key": {refused: true, versions: []rootVersion{
			{[]int{1}, 1, []int{1}}, {[]int{2}, 1, []int{1, 3, 4}}}},
		"not-signed-with-3-new-keys": {refused: true, versions: []rootVersion{
			{five, 3, []int{0, 2, 4}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4}}}},
		"not-signed-with-3-old-keys": {refused: true, versions: []rootVersion{
			{five, 3, []int{0, 2, 4}}, {[]int{0, 1, 3, 4, 5}, 3, []int{0, 4, 5}}}},
		"new-threshold-not-reached": {refused: true, versions: []rootVersion{
			{[]int{1, 2, 3}, 1, []int{1}}, {[]int{1, 2, 3}, 2, []int{2}}}},
		"old-threshold-not-reached": {refused: true, versions: []rootVersion{
			{[]int{1, 2, 3}, 2, []int{1, 2}}, {[]int{1, 2, 3}, 1, []int{1}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newScene(t)
			keys := tenKeys(s)
			s.forget("root")
			for _, v := range c.versions {
				s.clearKeys("root")
				s.grant("root")["threshold"] = v.threshold
				s.listKeys("root", pick(keys, v.keys)...)
				s.by["root"] = pick(keys, v.by)
				s.publish("root")
			}
			d.init(0, s.files["root"][0])
			want := len(c.versions)
			if c.refused {
				want--
				d.refresh(1)
			} else {
				d.refresh(0)
			}
			d.wantFile("root", s.files["root"][want-1])
		})
	}
}

func tenKeys(s *simulator) (keys []*tuftest.Key) {
	for range 10 {
		keys = append(keys, s.newKey())
	}
	return keys
}

func pick(keys []*tuftest.Key, numbers []int) (picked []*tuftest.Key) {
	for _, n := range numbers {
		picked = append(picked, keys[n])
	}
	return picked
}

func TestOtherRolesRotation(t *testing.T) {
	five := []int{0, 1, 2, 3, 4}
	for name, c := range map[string]struct {
		rootVersion
		refused bool
	}{
		"1-of-1-key-rotation":                   {rootVersion: rootVersion{[]int{2}, 1, []int{2}}},
		"1-of-1-key-rotation-unused-signatures": {rootVersion: rootVersion{[]int{1}, 1, []int{3, 1, 4}}},
		"not-signed-with-new-key":               {rootVersion{[]int{2}, 1, []int{1, 3, 4}}, true},
		"one-of-three-signatures-by-no-key":     {rootVersion{[]int{0, 1, 3, 4, 5}, 3, []int{0, 2, 4}}, true},
		"two-of-three-signatures":               {rootVersion{[]int{0, 1, 3, 4, 5}, 3, []int{0, 4}}, true},
		"3-of-5-sign-first-combo":               {rootVersion: rootVersion{five, 3, []int{0, 2, 4}}},
		"3-of-5-sign-second-combo":              {rootVersion: rootVersion{five, 3, []int{0, 4, 1}}},
		"3-of-5-sign-third-combo":               {rootVersion: rootVersion{five, 3, []int{0, 1, 3}}},
		"3-of-5-sign-fourth-combo":              {rootVersion: rootVersion{five, 3, []int{1, 2, 3}}},
		"3-of-5-sign-fifth-combo":               {rootVersion: rootVersion{five, 3, []int{2, 3, 4}}},
	} {
		t.Run(name, func(t *testing.T) {
			s, d := newTrusting(t)
			keys := tenKeys(s)
			for _, role := range []string{"timestamp", "snapshot", "targets"} {
				s.clearKeys(role)
				s.grant(role)["threshold"] = c.threshold
				s.listKeys(role, pick(keys, c.keys)...)
				s.by[role] = slices.Clone(pick(keys, c.by))
				s.publish("root", "targets", "snapshot", "timestamp")
				if c.refused {
					d.refresh(1)
					continue
				}
				d.refresh(0)
				d.wantFile(role, s.last(role))
			}
		})
	}
}
