package verifier_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

const day = 24 * time.Hour

// newDevice is a repository and a fresh device that trusts it.
func newDevice() (*tuftest.Repository, *tuftest.Client) {
	repo := tuftest.New()
	return repo, tuftest.NewClient(repo)
}

// updatedDevice is a device that refreshed once.
func updatedDevice(t *testing.T) (*tuftest.Repository, *tuftest.Client) {
	t.Helper()
	repo, client := newDevice()
	refreshed(t, client)
	repo.Asked()
	return repo, client
}

// refreshed runs a refresh that must succeed.
func refreshed(t *testing.T, c *tuftest.Client) *verifier.Refresh {
	t.Helper()
	refresh, err := c.Refresh()
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	return refresh
}

// refused runs a refresh that must be refused with this class, in this role's document, for a stated reason.
func refused(t *testing.T, c *tuftest.Client, role string, class error) {
	t.Helper()
	_, err := c.Refresh()
	wantRefusal(t, err, role, class)
}

func wantRefusal(t *testing.T, err error, role string, class error) {
	t.Helper()
	if !errors.Is(err, class) {
		t.Fatalf("got error %v, want class %v", err, class)
	}
	refusal, ok := errors.AsType[*verifier.MetadataError](err)
	if !ok {
		t.Fatalf("error %v is no *MetadataError", err)
	}
	if refusal.Role != role {
		t.Errorf("error %v: it names role %q, want %q", err, refusal.Role, role)
	}
	wantWhole(t, refusal)
}

// wantAsked checks the requests that the repository saw since the last check.
func wantAsked(t *testing.T, r *tuftest.Repository, want ...string) {
	t.Helper()
	if got := r.Asked(); !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
}

// wantStored checks which version of a role is stored; 0 is none.
func wantStored(t *testing.T, c *tuftest.Client, role string, want int64) {
	t.Helper()
	if got := storedVersion(c, role); got != want {
		t.Errorf("stored %s has version %d, want %d", role, got, want)
	}
}

func storedVersion(c *tuftest.Client, role string) int64 {
	raw := c.Store.Role(role)
	at := bytes.LastIndex(raw, []byte(`"version":`)) // names are sorted
	if at < 0 {
		return 0
	}
	version := int64(0)
	for _, digit := range raw[at+len(`"version":`):] {
		if digit < '0' || digit > '9' {
			break
		}
		version = 10*version + int64(digit-'0')
	}
	return version
}

// wantUnchanged checks that what f does leaves the store as it was.
func wantUnchanged(t *testing.T, c *tuftest.Client, f func()) {
	t.Helper()
	before := c.Store.Clone()
	f()
	for key, raw := range c.Store.Documents {
		if !bytes.Equal(raw, before.Documents[key]) {
			t.Errorf("%+v was changed", key)
		}
	}
	for key := range before.Documents {
		if c.Store.Documents[key] == nil {
			t.Errorf("%+v was dropped", key)
		}
	}
}

// set is an Edit that sets members of signed.
func set(name string, v any) func(tuftest.Object) {
	return func(signed tuftest.Object) { signed[name] = v }
}

// without is an Edit that removes a member of signed.
func without(name string) func(tuftest.Object) {
	return func(signed tuftest.Object) { delete(signed, name) }
}

// object walks down members of a signed object.
func object(o tuftest.Object, path ...string) tuftest.Object {
	for _, name := range path {
		o = o[name].(tuftest.Object)
	}
	return o
}

// rsaKey is an RSA key for all tests: making one takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// ed25519s makes n keys.
func ed25519s(names ...string) []*tuftest.Key {
	var keys []*tuftest.Key
	for _, name := range names {
		keys = append(keys, tuftest.Ed25519(name))
	}
	return keys
}

// answered is an override that answers with bytes.
func answered(raw []byte) func() verifier.Answer {
	return func() verifier.Answer { return verifier.Bytes(raw) }
}

// sha256Hex and lengthText are how a receipt writes a file's hash and length.
func sha256Hex(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func lengthText(raw []byte) string { return fmt.Sprintf(`"length":%d,`, len(raw)) }

// wantWhole checks that a refusal says which check, by its section, what was expected and what came; and which version of
// the document, unless nothing could be read that says so.
func wantWhole(t *testing.T, e *verifier.MetadataError) {
	t.Helper()
	unread := errors.Is(e, verifier.ErrMalformed) || errors.Is(e, verifier.ErrUnsupported) || errors.Is(e, verifier.ErrLimitExceeded)
	if e.Section == "" || e.Want == "" || e.Got == "" || (e.Version == 0 && !unread) {
		t.Errorf("error %v: section %q, version %d, want %q, got %q; none may be missing", e, e.Section, e.Version, e.Want, e.Got)
	}
}
