package verifier_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

func TestG1_WhatIsNotListedCausesNoRequest(t *testing.T) {
	repo, client := newDevice()
	refresh := refreshed(t, client)
	repo.Asked()
	search := refresh.Find("missing")
	if err := client.Drive(search); err != nil {
		t.Fatal(err)
	}
	_, err := search.Found()
	if !errors.Is(err, verifier.ErrNotListed) {
		t.Errorf("got %v", err)
	}
	if refusal, ok := errors.AsType[*verifier.MetadataError](err); !ok || refusal.Path != "missing" {
		t.Errorf("the error names no path: %v", err)
	}
	wantAsked(t, repo)
}

// image is a target of this content, with the hashes that are named.
func image(content []byte, hashes ...string) verifier.Target {
	t := verifier.Target{Path: "x", Name: "x", Length: int64(len(content))}
	for _, name := range hashes {
		switch name {
		case "sha256":
			sum := sha256.Sum256(content)
			t.SHA256 = sum[:]
		case "sha512":
			sum := sha512.Sum512(content)
			t.SHA512 = sum[:]
		}
	}
	return t
}

// checked writes content in pieces and ends the check.
func checked(target verifier.Target, content []byte) (verifier.Verified, error) {
	check := target.Check()
	for piece := range bytes.SplitAfterSeq(content, []byte(" ")) {
		if _, err := check.Write(piece); err != nil {
			if _, again := check.Write(nil); again == nil {
				panic("a failed check goes on")
			}
			if _, done := check.Done(); done == nil {
				panic("a failed check verifies")
			}
			return verifier.Verified{}, err
		}
	}
	return check.Done()
}

func TestG2G3_LengthAndAllListedHashesMustMatch(t *testing.T) {
	content := []byte("an image of some length")
	other := []byte("an image of same length")
	both := image(content, "sha256", "sha512")
	wrong512 := both
	wrong512.SHA512 = image(other, "sha512").SHA512
	wrong256 := both
	wrong256.SHA256 = image(other, "sha256").SHA256
	tests := []struct {
		name    string
		target  verifier.Target
		content []byte
		class   error
	}{
		{"both", both, content, nil},
		{"sha256", image(content, "sha256"), content, nil},
		{"sha512", image(content, "sha512"), content, nil},
		{"empty", image(nil, "sha256"), nil, nil},
		{"G2 longer", both, append(bytes.Clone(content), " more"...), verifier.ErrLengthMismatch},
		{"G2 shorter", both, content[:10], verifier.ErrLengthMismatch},
		{"G2 nothing", both, nil, verifier.ErrLengthMismatch},
		{"G3 other bytes", both, other, verifier.ErrHashMismatch},
		{"G3 other bytes, sha512", image(content, "sha512"), other, verifier.ErrHashMismatch},
		{"G3 sha512 wrong", wrong512, content, verifier.ErrHashMismatch},
		{"G3 sha256 wrong", wrong256, content, verifier.ErrHashMismatch},
		{"G3 none known", image(content), content, verifier.ErrUnsupported},
		{"negative length", verifier.Target{Length: -1}, nil, verifier.ErrLengthMismatch},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v, err := checked(test.target, test.content)
			if !errors.Is(err, test.class) || (err == nil) != v.OK() {
				t.Fatalf("verified %v: %v", v.OK(), err)
			}
			if err == nil && (v.SHA256() != sha256.Sum256(test.content) || !reflect.DeepEqual(v.Target(), test.target)) {
				t.Errorf("verified %x of %+v", v.SHA256(), v.Target())
			}
		})
	}
}

// One byte too many is refused as it comes, not after an endless body was read.
func TestG2_TooManyBytesAreRefusedAtOnce(t *testing.T) {
	check := image([]byte("four"), "sha256").Check()
	if _, err := check.Write([]byte("four")); err != nil {
		t.Fatal(err)
	}
	if _, err := check.Write([]byte("!")); !errors.Is(err, verifier.ErrLengthMismatch) {
		t.Errorf("got %v", err)
	}
}

func TestCheck_ZeroValuesVerifyNothing(t *testing.T) {
	if (verifier.Verified{}).OK() {
		t.Error("the zero Verified is OK")
	}
	var check verifier.Check
	if _, err := check.Write([]byte("x")); err == nil {
		t.Error("the zero Check takes bytes")
	}
	if _, err := check.Done(); err == nil {
		t.Error("the zero Check verifies")
	}
}

// A check is of what the target was when it began, whoever changes the slices later.
func TestCheck_KeepsItsOwnHashes(t *testing.T) {
	target := image([]byte("x"), "sha256")
	check := target.Check()
	clear(target.SHA256)
	if _, err := check.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := check.Done(); err != nil {
		t.Error(err)
	}
}

func TestG4_NamesCarryTheHashSHA256First(t *testing.T) {
	content := []byte("x")
	s256, s512 := sha256.Sum256(content), sha512.Sum512(content)
	h256, h512 := hex.EncodeToString(s256[:]), hex.EncodeToString(s512[:])
	tests := []struct {
		path   string
		hashes tuftest.Object
		name   string
	}{
		{"x", tuftest.Object{"sha256": h256}, h256 + ".x"},
		{"dir/sub/x", tuftest.Object{"sha256": h256, "sha512": h512}, "dir/sub/" + h256 + ".x"},
		{"dir/x", tuftest.Object{"sha512": h512}, "dir/" + h512 + ".x"},
		{"a b?#%/c d", tuftest.Object{"sha256": h256}, "a b?#%/" + h256 + ".c d"},
		{"dir/", tuftest.Object{"sha256": h256}, "dir/" + h256 + "."},
	}
	for _, test := range tests {
		repo, client := newDevice()
		repo.Targets().Targets[test.path] = tuftest.Object{"length": 1, "hashes": test.hashes}
		found, err := client.Find(test.path)
		if err != nil || found.Target.Name != test.name || found.Target.Path != test.path {
			t.Errorf("%s is named %q: %v", test.path, found.Target.Name, err)
		}
		// G5: an object store may keep plain names.
		client.Limits.PlainTargetNames = true
		if found, err := client.Find(test.path); err != nil || found.Target.Name != test.path {
			t.Errorf("%s is named %q: %v", test.path, found.Target.Name, err)
		}
	}
}

func TestTarget_IDAndJSON(t *testing.T) {
	target := image([]byte("x"), "sha256", "sha512")
	target.Custom = []byte(`{"a":1}`)
	if target.ID() != hex.EncodeToString(target.SHA256) {
		t.Errorf("ID %s", target.ID())
	}
	only := image([]byte("x"), "sha512")
	if only.ID() != hex.EncodeToString(only.SHA512) {
		t.Errorf("ID %s", only.ID())
	}
	raw, err := json.Marshal(target)
	if err != nil {
		t.Fatal(err)
	}
	var back verifier.Target
	if err := json.Unmarshal(raw, &back); err != nil || !reflect.DeepEqual(back, target) {
		t.Errorf("came back as %+v: %v", back, err)
	}
}
