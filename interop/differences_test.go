package interop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

type object = tuftest.Object

// editing changes what a role signs; the top-level targets role too.
func editing(role string, edit func(signed object)) func(*tuftest.Repository) {
	return func(r *tuftest.Repository) {
		switch role {
		case verifier.Root:
			r.Root.Edit = edit
			r.PublishRoot()
		case verifier.Timestamp:
			r.Timestamp.Edit = edit
		case verifier.Snapshot:
			r.Snapshot.Edit = edit
		default:
			r.Roles[role].Edit = edit
		}
	}
}

// tampering changes a timestamp's file after it was signed.
func tampering(old, next string) func(*tuftest.Repository) {
	return func(r *tuftest.Repository) {
		r.Timestamp.Tamper = func(file []byte) []byte {
			changed := bytes.Replace(file, []byte(old), []byte(next), 1)
			if bytes.Equal(changed, file) {
				panic(fmt.Sprintf("no %s in %s", old, file))
			}
			return changed
		}
	}
}

func setting(role, name string, value any) func(*tuftest.Repository) {
	return editing(role, func(signed object) { signed[name] = value })
}

func without(role, name string) func(*tuftest.Repository) {
	return editing(role, func(signed object) { delete(signed, name) })
}

// entry is the one target's entry.
func entry(r *tuftest.Repository) object { return r.Targets().Targets["app.img"].(object) }

func inEntry(change func(entry object)) func(*tuftest.Repository) {
	return func(r *tuftest.Repository) { change(entry(r)) }
}

// honestFiles are rightly signed, and say what the specification allows. go-tuf checks signatures over what it writes
// again from its own types, not over what was received.
func honestFiles() []difference {
	upper := strings.Repeat("AB", sha256.Size)
	return []difference{
		{"A1", "an unknown integer above 2^53", setting(verifier.Timestamp, "serial", tuftest.Raw("9007199254740993")), "", nil, refuses, refuses},
		{"A2", "a root that leaves consistent_snapshot out", func(r *tuftest.Repository) {
			r.Consistent = false
			without(verifier.Root, "consistent_snapshot")(r)
		}, "", nil, refuses, refuses},
		{"A2", "a delegation that leaves terminating out", func(r *tuftest.Repository) {
			r.Delegate(verifier.Targets, tuftest.Delegation{Name: "role", Paths: []string{"*"}})
			editing(verifier.Targets, func(signed object) {
				delete(signed["delegations"].(object)["roles"].([]any)[0].(object), "terminating")
			})(r)
		}, "", nil, refuses, refuses},
		{"A2", "upper-case hex in a target's hash", inEntry(func(e object) { e["hashes"] = object{"sha256": upper} }), "", nil, refuses, accepts},
		{"A2", "a target with custom null", inEntry(func(e object) { e["custom"] = nil }), "", nil, refuses, accepts},
		{"A15", "a signature of a stranger that is not hex", tampering(`"signatures":[`, `"signatures":[{"keyid":"other","sig":"-"},`), "", nil, refuses, accepts},
		{"E2", "a snapshot's hash of an unknown kind beside a known one", func(r *tuftest.Repository) {
			sum := sha256.Sum256(r.SnapshotFile())
			editing(verifier.Timestamp, func(signed object) {
				hashes := object{"sha256": hex.EncodeToString(sum[:]), "sha3-256": upper}
				signed["meta"].(object)["snapshot.json"] = object{"version": 1, "hashes": hashes}
			})(r)
		}, "", nil, refuses, refuses},
	}
}

// parsedLoosely are files that say two things, or nothing that the specification knows. go-tuf reads them with
// encoding/json.
func parsedLoosely() []difference {
	deep := strings.Repeat("[", 2000) + strings.Repeat("]", 2000)
	return []difference{
		{"A4", "two versions in a timestamp", tampering(`"version":1}}`, `"version":9,"version":1}}`), "", verifier.ErrMalformed, accepts, accepts},
		{"A5", "a member Signatures", tampering(`"signatures"`, `"Signatures"`), "", verifier.ErrMalformed, accepts, refuses},
		{"A5", "signatures by KEYID", tampering(`"keyid"`, `"KEYID"`), "", verifier.ErrUnsigned, accepts, refuses},
		{"A6", "bytes that are not UTF-8", tampering(`{"signatures"`, "{\"\xff\":0,\"signatures\""), "", verifier.ErrMalformed, accepts, accepts},
		{"A6", "a lone surrogate", tampering(`{"signatures"`, `{"\ud800":0,"signatures"`), "", verifier.ErrMalformed, accepts, accepts},
		{"A6", "2,000 arrays in each other", tampering(`{"signatures"`, `{"deep":`+deep+`,"signatures"`), "", verifier.ErrMalformed, accepts, accepts},
	}
}

// unboundedFields are rightly signed files with values that the specification rules out.
func unboundedFields() []difference {
	return []difference{
		{"A9", "specification version 2", setting(verifier.Timestamp, "spec_version", "2.0.0"), "", verifier.ErrUnsupported, accepts, refuses},
		{"A10", "a timestamp of version 0", setting(verifier.Timestamp, "version", 0), "", verifier.ErrMalformed, accepts, accepts},
		{"A10", "a timestamp of version -1", setting(verifier.Timestamp, "version", -1), "", verifier.ErrMalformed, accepts, accepts},
		{"A11", "an expiry with a zone", setting(verifier.Timestamp, "expires", "2030-01-09T00:00:00+02:00"), "", verifier.ErrMalformed, accepts, accepts},
		{"A11", "an expiry with a fraction", setting(verifier.Timestamp, "expires", "2030-01-09T00:00:00.5Z"), "", verifier.ErrMalformed, accepts, accepts},
		{"A16", "a timestamp that lists more than the snapshot", editing(verifier.Timestamp, func(signed object) {
			signed["meta"].(object)["targets.json"] = object{"version": 1}
		}), "", verifier.ErrMalformed, accepts, refuses},
		{"A13", "a key ID twice in a role", editing(verifier.Root, func(signed object) {
			role := signed["roles"].(object)["timestamp"].(object)
			ids := role["keyids"].([]string)
			role["keyids"] = append(ids, ids[0])
		}), "", verifier.ErrMalformed, accepts, refuses},
		{"C7", "a timestamp that expires now", setting(verifier.Timestamp, "expires", "2030-01-01T00:01:00Z"), "", verifier.ErrExpired, accepts, refuses},
	}
}

// nullEntries crash go-tuf; some need no signature.
func nullEntries() []difference {
	unsigned := func(role string, edit func(signed object)) func(*tuftest.Repository) {
		return func(r *tuftest.Repository) {
			editing(role, edit)(r)
			stranger := []*tuftest.Key{tuftest.Ed25519("stranger")}
			switch role {
			case verifier.Timestamp:
				r.Timestamp.By = stranger
			default:
				r.Roles[role].By = stranger
			}
		}
	}
	return []difference{
		{"A7", "a target null, signed by nobody known", unsigned(verifier.Targets, func(signed object) {
			signed["targets"] = object{"app.img": nil}
		}), "", verifier.ErrUnsigned, panics, refuses},
		{"A7", "a target null", editing(verifier.Targets, func(signed object) {
			signed["targets"].(object)["other.img"] = nil
		}), "other.img", verifier.ErrMalformed, panics, refuses},
		{"A7", "a timestamp's snapshot null", editing(verifier.Timestamp, func(signed object) {
			signed["meta"] = object{"snapshot.json": nil}
		}), "", verifier.ErrMalformed, panics, refuses},
		{"A7", "a timestamp without a snapshot", editing(verifier.Timestamp, func(signed object) {
			signed["meta"] = object{}
		}), "", verifier.ErrMalformed, panics, refuses},
		{"A7", "a snapshot's targets null", editing(verifier.Snapshot, func(signed object) {
			signed["meta"] = object{"targets.json": nil}
		}), "", verifier.ErrMalformed, panics, refuses},
		{"A7", "a root's role null", editing(verifier.Root, func(signed object) {
			signed["roles"].(object)["timestamp"] = nil
		}), "", verifier.ErrMalformed, panics, refuses},
		{"A7", "a root's key null", editing(verifier.Root, func(signed object) {
			signed["keys"].(object)["ed25519-timestamp-1"] = nil
		}), "", verifier.ErrUnsigned, panics, refuses},
		{"B6", "a short Ed25519 key", editing(verifier.Root, func(signed object) {
			signed["keys"].(object)["ed25519-timestamp-1"].(object)["keyval"] = object{"public": "abcd"}
		}), "", verifier.ErrUnsigned, panics, refuses},
	}
}

// granting lets other keys sign the timestamp.
func granting(threshold int, keys ...*tuftest.Key) func(*tuftest.Repository) {
	return func(r *tuftest.Repository) {
		r.Grants[verifier.Timestamp] = &tuftest.Grant{Keys: keys, Threshold: threshold}
		r.PublishRoot()
	}
}

func rsaKey(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

// keysAndSchemes: one key that can't be used must spoil neither its file nor the others, and the scheme decides how a key
// is used.
func keysAndSchemes() []difference {
	good := tuftest.Ed25519("good")
	scheme := func(key *tuftest.Key, name string) *tuftest.Key {
		return key.With(func(entry object) { entry["scheme"] = name })
	}
	private := rsaKey(2048)
	return []difference{
		{"B3", "a key of a type to come beside a good one", granting(1, good, tuftest.Ed25519("new").With(func(entry object) {
			entry["keytype"], entry["scheme"] = "ml-dsa", "ml-dsa-65"
		})), "", nil, refuses, accepts},
		{"B4", "a key ID without a key beside a good one", func(r *tuftest.Repository) {
			r.Timestamp.By = []*tuftest.Key{good}
			r.Root.Edit = func(signed object) { delete(signed["keys"].(object), "ed25519-lost") }
			granting(1, good, tuftest.Ed25519("lost"))(r)
		}, "", nil, refuses, accepts},
		{"B7", "a P-384 key under the scheme of P-256", granting(1, p384AsP256()), "", verifier.ErrUnsigned, accepts, accepts},
		{"B8", "a P-521 key", granting(1, tuftest.ECDSA("p521", elliptic.P521())), "", nil, refuses, refuses},
		{"B9", "an RSA key of 1,024 bits", granting(1, tuftest.RSA("small", rsaKey(1024), "rsassa-pss-sha256", 32)), "", verifier.ErrUnsigned, accepts, accepts},
		{"B10", "an RSA key for PKCS #1 v1.5", granting(1, tuftest.RSA("v15", private, "rsa-pkcs1v15-sha256", 0)), "", nil, refuses, refuses},
		{"B10", "PSS under the scheme of PKCS #1 v1.5", granting(1, scheme(tuftest.RSA("mixed", private, "rsassa-pss-sha256", 32), "rsa-pkcs1v15-sha256")), "", verifier.ErrUnsigned, accepts, refuses},
		{"B1", "an Ed25519 key with a scheme that nobody knows", granting(1, scheme(good, "ed25519-of-tomorrow")), "", verifier.ErrUnsigned, accepts, accepts},
	}
}

// p384AsP256 signs with SHA-256, as its scheme says.
func p384AsP256() *tuftest.Key {
	private, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		panic(err)
	}
	public := object{"public": tuftest.PEM(private.Public())}
	return &tuftest.Key{
		ID:    "p384",
		Entry: object{"keytype": "ecdsa", "scheme": "ecdsa-sha2-nistp256", "keyval": public},
		Sign: func(message []byte) []byte {
			sum := sha256.Sum256(message)
			signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
			if err != nil {
				panic(err)
			}
			return signature
		},
	}
}

// delegations: who is trusted with which path.
func delegations() []difference {
	to := func(path string, d tuftest.Delegation) func(*tuftest.Repository) {
		return func(r *tuftest.Repository) {
			d.Name = "role"
			r.Delegate(verifier.Targets, d).Add(path, []byte("delegated"))
		}
	}
	sum := sha256.Sum256([]byte("bin.img"))
	twice := func(r *tuftest.Repository) {
		for _, paths := range [][]string{{"a/*"}, {"b/*"}} {
			r.Delegate(verifier.Targets, tuftest.Delegation{Name: "role", Paths: paths})
		}
	}
	return []difference{
		{"F8", "a pattern [!a]", to("b.img", tuftest.Delegation{Paths: []string{"[!a].img"}}), "b.img", nil, refuses, accepts},
		{"F8", "a pattern with a lone [", to("[.img", tuftest.Delegation{Paths: []string{"[.img"}}), "[.img", nil, refuses, accepts},
		{"F8", `a pattern with a backslash`, to(`a\b`, tuftest.Delegation{Paths: []string{`a\?`}}), `a\b`, nil, refuses, refuses},
		{"F10", "path_hash_prefixes in hex", to("bin.img", tuftest.Delegation{
			Prefixes: []string{hex.EncodeToString(sum[:2])},
		}), "bin.img", nil, refuses, accepts},
		{"A18", "two delegations of one name", twice, "", verifier.ErrMalformed, accepts, refuses},
		{"A18", "a delegation named like a top-level role", func(r *tuftest.Repository) {
			r.Targets().Delegate(tuftest.Delegation{
				Name: "snapshot", Paths: []string{"*"}, Grant: tuftest.Grant{Keys: []*tuftest.Key{tuftest.Ed25519("x")}, Threshold: 1},
			})
		}, "", verifier.ErrMalformed, accepts, refuses},
	}
}
