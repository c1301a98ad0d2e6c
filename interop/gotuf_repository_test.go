package interop

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"github.com/ota-agent/ota-agent/verifier"
)

// A signer is a private key, and its public part as metadata lists it.
type signer struct {
	signature.Signer
	key *metadata.Key
}

// goTUFSigners makes one key of each type that the API knows. It has no name for P-384 keys, but metadata can
// carry one: scheme and key ID are corrected by hand.
func goTUFSigners(t *testing.T) []signer {
	t.Helper()
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	fatal(t, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	fatal(t, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	fatal(t, err)
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	fatal(t, err)
	pss, err := signature.LoadRSAPSSSigner(private, crypto.SHA256, &rsa.PSSOptions{Hash: crypto.SHA256})
	fatal(t, err)
	return []signer{
		load(t, ed, crypto.Hash(0), ""),
		load(t, p256, crypto.SHA256, ""),
		load(t, p384, crypto.SHA384, metadata.KeySchemeECDSA_SHA2_P384),
		{pss, goTUFKey(t, pss, "")},
	}
}

func load(t *testing.T, private crypto.PrivateKey, hash crypto.Hash, scheme string) signer {
	t.Helper()
	s, err := signature.LoadSigner(private, hash)
	fatal(t, err)
	return signer{s, goTUFKey(t, s, scheme)}
}

func goTUFKey(t *testing.T, s signature.Signer, scheme string) *metadata.Key {
	t.Helper()
	public, err := s.PublicKey()
	fatal(t, err)
	key, err := metadata.KeyFromPublicKey(public)
	fatal(t, err)
	if scheme != "" {
		key.Scheme = scheme
	}
	return key
}

func (s signer) id(t *testing.T) string {
	t.Helper()
	id, err := s.key.ID()
	fatal(t, err)
	return id
}

func fatal(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put signs a document with every signer and writes it, on several lines or on one.
func put[T metadata.Roles](t *testing.T, dir, name string, m *metadata.Metadata[T], by []signer, pretty bool) {
	t.Helper()
	for _, s := range by {
		made, err := m.Sign(s)
		fatal(t, err)
		for i := range m.Signatures {
			if m.Signatures[i].KeyID == made.KeyID {
				m.Signatures[i].KeyID = s.id(t)
			}
		}
	}
	fatal(t, os.MkdirAll(filepath.Join(dir, "metadata"), 0o755))
	fatal(t, m.ToFile(filepath.Join(dir, "metadata", name), pretty))
}

// A goTUFRepository is what go-tuf's API is to write: targets roles by name, and who signs.
type goTUFRepository struct {
	dir        string
	expires    time.Time
	signers    []signer
	threshold  int
	consistent bool
	pretty     bool
	roles      map[string]*metadata.Metadata[metadata.TargetsType]
}

func (r *goTUFRepository) name(role string) string {
	if r.consistent {
		return "1." + role + ".json"
	}
	return role + ".json"
}

func (r *goTUFRepository) write(t *testing.T) []byte {
	t.Helper()
	root, snapshot := metadata.Root(r.expires), metadata.Snapshot(r.expires)
	root.Signed.ConsistentSnapshot = r.consistent
	for role, grant := range root.Signed.Roles {
		grant.Threshold = r.threshold
		for _, s := range r.signers {
			fatal(t, root.Signed.AddKey(s.key, role))
		}
	}
	put(t, r.dir, "1.root.json", root, r.signers, r.pretty)
	for name, role := range r.roles {
		put(t, r.dir, r.name(name), role, r.signers, r.pretty)
		snapshot.Signed.Meta[name+".json"] = r.meta(t, r.name(name))
	}
	put(t, r.dir, r.name("snapshot"), snapshot, r.signers, r.pretty)
	timestamp := metadata.Timestamp(r.expires)
	timestamp.Signed.Meta["snapshot.json"] = r.meta(t, r.name("snapshot"))
	put(t, r.dir, "timestamp.json", timestamp, r.signers, r.pretty)
	anchor, err := os.ReadFile(filepath.Join(r.dir, "metadata", "1.root.json"))
	fatal(t, err)
	return anchor
}

func (r *goTUFRepository) meta(t *testing.T, file string) *metadata.MetaFiles {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.dir, "metadata", file))
	fatal(t, err)
	sum := sha256.Sum256(b)
	m := metadata.MetaFile(1)
	m.Length, m.Hashes = int64(len(b)), metadata.Hashes{"sha256": sum[:]}
	return m
}

// add lists a target, whose content is its path, in a role, and lays the image where clients look.
func (r *goTUFRepository) add(t *testing.T, role, path string) {
	t.Helper()
	file, err := metadata.TargetFile().FromBytes(path, []byte(path), "sha256", "sha512")
	fatal(t, err)
	r.roles[role].Signed.Targets[path] = file
	dir, base := filepath.Split(path)
	if r.consistent {
		base = file.Hashes["sha256"].String() + "." + base
	}
	dir = filepath.Join(r.dir, "targets", dir)
	fatal(t, os.MkdirAll(dir, 0o755))
	fatal(t, os.WriteFile(filepath.Join(dir, base), []byte(path), 0o644))
}

func (r *goTUFRepository) role(name string) *metadata.Metadata[metadata.TargetsType] {
	if r.roles[name] == nil {
		r.roles[name] = metadata.Targets(r.expires)
	}
	return r.roles[name]
}

// delegate lets each signer sign the new roles, and asks for the threshold.
func (r *goTUFRepository) delegate(t *testing.T, from string, to ...metadata.DelegatedRole) {
	t.Helper()
	d := &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, role := range to {
		role.Threshold = r.threshold
		for _, s := range r.signers {
			role.KeyIDs = append(role.KeyIDs, s.id(t))
			d.Keys[s.id(t)] = s.key
		}
		d.Roles = append(d.Roles, role)
		r.role(role.Name)
	}
	r.role(from).Signed.Delegations = d
}

// succinct makes 2^bits bins below a role.
func (r *goTUFRepository) succinct(t *testing.T, from, prefix string, bits int) {
	t.Helper()
	bins := &metadata.SuccinctRoles{Threshold: r.threshold, BitLength: bits, NamePrefix: prefix}
	d := &metadata.Delegations{Keys: map[string]*metadata.Key{}, SuccinctRoles: bins}
	for _, s := range r.signers {
		bins.KeyIDs = append(bins.KeyIDs, s.id(t))
		d.Keys[s.id(t)] = s.key
	}
	r.role(from).Signed.Delegations = d
	for _, name := range bins.GetRoles() {
		r.role(name)
	}
}

// The verifier reads what go-tuf's metadata API makes: a threshold that takes a key of every type, and every kind of
// delegation.
func TestWeReadGoTUFRepositories(t *testing.T) {
	signers := goTUFSigners(t)
	for _, layout := range []struct{ consistent, pretty bool }{{true, false}, {true, true}, {false, false}} {
		t.Run(fmt.Sprintf("%+v", layout), func(t *testing.T) {
			r := &goTUFRepository{
				dir: t.TempDir(), expires: now().Add(day), signers: signers, threshold: len(signers),
				consistent: layout.consistent, pretty: layout.pretty,
				roles: map[string]*metadata.Metadata[metadata.TargetsType]{},
			}
			r.delegations(t)
			c := newOurClient(t, serve(t, r.dir, r.write(t)), now())
			for path, role := range map[string]string{
				"top.img": "targets", "a/x.img": "a", "a/deep/x.img": "deep", "t/x.img": "stop",
				"hashed.img": "hashed", "bins/1.img": binOf("bins/1.img"), "bins/2.img": binOf("bins/2.img"),
			} {
				got, err := c.get(t, path)
				if err != nil || string(got.content) != path {
					t.Errorf("%s: %q, %v", path, got.content, err)
				}
				if found, err := c.find(t.Context(), path); err != nil || found.Role != role {
					t.Errorf("%s: found in %q, %v; want %s", path, found.Role, err, role)
				}
			}
			if _, err := c.get(t, "t/other.img"); !errors.Is(err, verifier.ErrNotListed) {
				t.Errorf("a path behind a terminating role: %v, want not listed", err)
			}
		})
	}
}

// delegations: plain ones, one below another, a terminating one in front of a wider one, one by hash prefix, and
// bins.
func (r *goTUFRepository) delegations(t *testing.T) {
	t.Helper()
	sum := sha256.Sum256([]byte("hashed.img"))
	r.delegate(t, "targets",
		metadata.DelegatedRole{Name: "a", Paths: []string{"a/*", "a/deep/*"}},
		metadata.DelegatedRole{Name: "stop", Terminating: true, Paths: []string{"t/*"}},
		metadata.DelegatedRole{Name: "behind", Paths: []string{"t/*"}},
		metadata.DelegatedRole{Name: "hashed", PathHashPrefixes: []string{hex.EncodeToString(sum[:])[:3]}},
		metadata.DelegatedRole{Name: "bins", Paths: []string{"bins/*"}},
	)
	r.delegate(t, "a", metadata.DelegatedRole{Name: "deep", Paths: []string{"a/deep/?.img"}})
	r.succinct(t, "bins", "bin", 3)
	for role, path := range map[string]string{
		"targets": "top.img", "a": "a/x.img", "deep": "a/deep/x.img", "stop": "t/x.img", "behind": "t/other.img",
		"hashed": "hashed.img", binOf("bins/1.img"): "bins/1.img", binOf("bins/2.img"): "bins/2.img",
	} {
		r.add(t, role, path)
	}
}

// binOf is the one of eight bins that a path falls into: the first three bits of its hash.
func binOf(path string) string {
	sum := sha256.Sum256([]byte(path))
	return fmt.Sprintf("bin-%x", sum[0]>>5)
}

// now is a time in the middle of every repository's life but the publisher's.
func now() time.Time { return time.Date(2030, 1, 1, 0, 1, 0, 0, time.UTC) }
