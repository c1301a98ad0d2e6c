package publish

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"testing"
)

// One key counts once, whatever it is called and however often it signs (TUF 5.3.4).
func TestOneKeyCountsOnce(t *testing.T) {
	var signers []ed25519Signer
	keys := map[string]Key{}
	var ids []string
	for range 2 {
		s, err := newEd25519(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		id, err := s.Key().ID()
		if err != nil {
			t.Fatal(err)
		}
		signers, ids = append(signers, s), append(ids, id)
		keys[id] = s.Key()
	}
	keys["alias"] = signers[0].Key()
	role := signing{role: roleTargets, keys: keys, keyIDs: append(ids, "alias"), threshold: 2}
	message := []byte("the canonical form")
	signature := func(s ed25519Signer, id string, message []byte) Signature {
		raw, err := s.Sign(message)
		if err != nil {
			t.Fatal(err)
		}
		return Signature{KeyID: id, Sig: hex.EncodeToString(raw)}
	}
	first, second := signature(signers[0], ids[0], message), signature(signers[1], ids[1], message)
	for name, c := range map[string]struct {
		signatures []Signature
		want       error
	}{
		"both":          {[]Signature{first, second}, nil},
		"one":           {[]Signature{first}, ErrThreshold},
		"one twice":     {[]Signature{first, first}, ErrThreshold},
		"one, two IDs":  {[]Signature{first, signature(signers[0], "alias", message)}, ErrThreshold},
		"swapped IDs":   {[]Signature{first, {KeyID: ids[1], Sig: first.Sig}}, ErrThreshold},
		"other message": {[]Signature{first, signature(signers[1], ids[1], []byte("another"))}, ErrThreshold},
		"not hex":       {[]Signature{first, {KeyID: ids[1], Sig: "zz"}}, ErrThreshold},
		"empty":         {[]Signature{first, {KeyID: ids[1]}}, ErrThreshold},
		"unknown key":   {[]Signature{first, {KeyID: "stranger", Sig: second.Sig}}, ErrThreshold},
	} {
		if err := role.check(message, c.signatures); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	role.keyIDs = ids[:1]
	role.threshold = 1
	if err := role.check(message, []Signature{second}); !errors.Is(err, ErrThreshold) {
		t.Errorf("a key of another role: %v, want ErrThreshold", err)
	}
}
