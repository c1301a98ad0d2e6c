package tuftest

import (
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/strict"
)

// WorstPath is what a device looks up in the repositories of Worst, where the hostile role may be a delegated one.
const WorstPath = "vendor/stable/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.img"

// Who must be corrupt for a document of Worst to be asked for.
const (
	ByTimestamp = "the timestamp key"
	BySnapshot  = "the timestamp and the snapshot key"
	ByVendor    = "a vendor who may sign for a few paths, and who signs it"
	ByPublisher = "a threshold of targets keys"
)

// A WorstCase is a repository with a document that costs as much as its author could make it.
type WorstCase struct {
	Name string
	By   string // who must be corrupt
	// Checks: what it costs are the checks of its signatures, of which each lets go what it took.
	Checks bool
	// Make makes the repository; the document has about length bytes. A document beyond a limit of the
	// verifier's is as long, too.
	Make func(length int) *Repository
}

// Worst are the worst documents that were found. None of them may cost a device much (row L1 of docs/tuf-coverage.md).
func Worst() []WorstCase {
	var all []WorstCase
	for _, d := range []struct {
		name string
		meta func(n int) string // the value of meta
	}{
		{"meta: shortest entries, out of order", func(n int) string {
			return memberText(n, 0, func(i int) (string, string) { return letters(step(i), 5), `{"version":1}` })
		}},
		{"meta: shortest entries, in order", func(n int) string {
			return memberText(n, 0, func(i int) (string, string) { return letters(i, 5), `{"version":1}` })
		}},
		{"meta: entries with both hashes", func(n int) string {
			return memberText(n, 0, func(i int) (string, string) {
				return letters(i, 5), `{"hashes":{"sha256":"` + strings.Repeat("ab", 32) + `","sha512":"` + strings.Repeat("cd", 64) + `"},"version":1}`
			})
		}},
		{"meta: one entry with as many members as there is room for", func(n int) string {
			return `{"x.json":` + memberText(n, 0, func(i int) (string, string) { return letters(step(i), 8), "0" }) + `}`
		}},
	} {
		all = append(all, WorstCase{Name: "snapshot, " + d.name, By: ByTimestamp, Make: func(n int) *Repository {
			return hostileSnapshot(func() Object { return Object{"meta": Raw(`{"targets.json":{"version":1},` + d.meta(n)[1:])} })
		}})
	}
	for _, d := range hostileMembers {
		all = append(all, WorstCase{Name: "snapshot, " + d.name, By: ByTimestamp, Make: func(n int) *Repository {
			return hostileSnapshot(func() Object { return Object{"meta": Raw(`{"targets.json":{"version":1}}`), "x": Raw(d.fill(n))} })
		}}, WorstCase{Name: "targets, " + d.name, By: BySnapshot, Make: func(n int) *Repository {
			return hostileTargets(func() Object { return Object{"targets": Object{}, "x": Raw(d.fill(n))} })
		}})
	}
	for _, d := range hostileDelegations {
		all = append(all, WorstCase{Name: "targets, " + d.name, By: BySnapshot, Make: func(n int) *Repository {
			return hostileTargets(func() Object { return Object{"delegations": Raw(d.fill(n)), "targets": Object{}} })
		}}, WorstCase{Name: "vendor, " + d.name, By: ByVendor, Make: func(n int) *Repository {
			return hostileVendor(func() Object { return Object{"delegations": Raw(d.fill(n)), "targets": Object{}} })
		}})
	}
	for _, d := range hostileFiles {
		all = append(all, WorstCase{Name: "targets, " + d.name, By: BySnapshot, Make: func(n int) *Repository {
			return published(func(r *Repository) { r.Targets().Tamper = once(func() []byte { return []byte(d.fill(n)) }) })
		}})
	}
	return append(all,
		WorstCase{Name: "vendor, a custom value as long as the file", By: ByVendor, Make: func(n int) *Repository {
			return hostileVendor(func() Object {
				return Object{"targets": Object{WorstPath: Target([]byte("content"), Raw(`"`+strings.Repeat("x", n)+`"`))}}
			})
		}},
		WorstCase{Name: "vendor, 256 Ed25519 signatures of a long file", By: ByVendor, Make: manySigned},
		WorstCase{Name: "vendor, 32 roles with 255 RSA-8192 keys each", By: ByVendor, Checks: true, Make: func(int) *Repository { return manyRSA(8192, 65537) }},
		WorstCase{Name: "vendor, 32 roles with 255 RSA-16384 keys each, exponent 2^31-1", By: ByVendor, Checks: true, Make: func(int) *Repository { return manyRSA(16384, 1<<31-1) }},
		WorstCase{Name: "vendor, 32 roles with 255 ECDSA P-521 keys each", By: ByVendor, Checks: true, Make: func(int) *Repository { return manyP521() }},
		WorstCase{Name: "targets and vendor, both as long as may be", By: ByPublisher, Make: bothLong},
	)
}

// hostileMembers are values of a member that nobody knows.
var hostileMembers = []struct {
	name string
	fill func(n int) string
}{
	{"names out of order", func(n int) string {
		return memberText(n, 0, func(i int) (string, string) { return letters(step(i), 8), "0" })
	}},
	{"names descending", func(n int) string {
		return memberText(n, 0, func(i int) (string, string) { return letters(letterNames-1-i, 8), "0" })
	}},
	{"shortest names", func(n int) string {
		return memberText(n, 0, func(i int) (string, string) { return letters(step(i), 5), "0" })
	}},
	{"escaped names", func(n int) string {
		return memberText(n, 0, func(i int) (string, string) { return `\t` + letters(step(i), 7), "0" })
	}},
	{"deep nests", func(n int) string {
		nest := strings.Repeat(`{"bbbbbb":`, 11) + `"` + strings.Repeat(`\\`, 600) + `"` + strings.Repeat(`,"a":0}`, 11) + ","
		return "[" + strings.Repeat(nest, n/len(nest)) + "0]"
	}},
	{"nests beyond the depth", func(n int) string { return strings.Repeat(`{"b":`, n/6) + "0" + strings.Repeat(`}`, n/6) }},
	{"white space", func(n int) string { return "[" + strings.Repeat(" 0,", n/3) + "0]" }},
	{"empty objects", func(n int) string { return "[" + strings.Repeat("{},", n/3) + "0]" }},
	{"escapes", func(n int) string { return `"` + strings.Repeat(`\u0061`, n/6) + `"` }},
}

// hostileDelegations are values of delegations.
var hostileDelegations = []struct {
	name string
	fill func(n int) string
}{
	{"many keys", func(n int) string {
		return `{"keys":` + memberText(n, 0, func(i int) (string, string) { return letters(i, 5), "{}" }) + `,"roles":[]}`
	}},
	{"16,384 keys", func(n int) string {
		return `{"keys":` + memberText(n, 16_384, func(i int) (string, string) {
			return letters(i, 5), `{"x":"` + strings.Repeat("x", max(0, n/16_384-30)) + `"}`
		}) + `,"roles":[]}`
	}},
	{"many roles", func(n int) string { return rolesOf(n, 0, `"paths":[],"threshold":1`) }},
	{"32,768 roles", func(n int) string { return rolesOf(n, 32_768, `"paths":["*/*/x*y"],"threshold":1`) }},
	{"many key IDs", func(n int) string {
		ids := make([]string, 256)
		for i := range ids {
			ids[i] = `"` + letters(step(i), 5) + `"`
		}
		return rolesWith(n, 0, strings.Join(ids, ","), `"threshold":1`)
	}},
	{"millions of path patterns", func(n int) string { return rolesOf(0, 1, `"paths":[`+strings.Repeat(`"",`, n/3)+`""],"threshold":1`) }},
	{"131,072 path patterns that match late", func(n int) string {
		one := `"vendor/stable/` + strings.Repeat("*a", min(max(1, n/131_000-20)/2, 500)) + `b",`
		return rolesOf(0, 1, `"paths":[`+strings.Repeat(one, min(131_000, n/len(one)))+`""],"threshold":1`)
	}},
	{"path patterns with long classes", func(n int) string {
		one := `"vendor/*/*[` + strings.Repeat("b", 900) + `]",`
		return rolesOf(0, 1, `"paths":[`+strings.Repeat(one, n/len(one))+`""],"threshold":1`)
	}},
	{"one long path pattern", func(n int) string {
		return rolesOf(0, 1, `"paths":["vendor/*/*[`+strings.Repeat("b", n)+`]"],"threshold":1`)
	}},
}

// hostileFiles are whole files.
var hostileFiles = []struct {
	name string
	fill func(n int) string
}{
	{"a version of the specification with millions of parts", func(n int) string {
		return `{"signatures":[],"signed":{"_type":"targets","spec_version":"1` + strings.Repeat(".", n) + `"}}`
	}},
	{"a version with millions of digits", func(n int) string {
		return `{"signatures":[],"signed":{"_type":"targets","version":` + strings.Repeat("1", n) + `}}`
	}},
	{"a long expiry", func(n int) string {
		return `{"signatures":[],"signed":{"_type":"targets","expires":"` + strings.Repeat("2", n) + `"}}`
	}},
	{"a long type, of escapes", func(n int) string {
		return `{"signatures":[],"signed":{"_type":"` + strings.Repeat(`\u0061`, n/6) + `"}}`
	}},
	{"a member with a long name", func(n int) string {
		return `{"signatures":[],"signed":{"` + strings.Repeat(`\t`, n/2) + `":0,"_type":"targets"}}`
	}},
	{"signatures with long key IDs and long values", func(n int) string {
		one := `{"keyid":"` + strings.Repeat("k", n/3) + `","sig":"` + strings.Repeat("ab", n/6) + `"},`
		return `{"signatures":[` + one + `0],"signed":` + signedText("targets", Object{"targets": Object{}}) + `}`
	}},
	{"millions of signatures", func(n int) string {
		return `{"signatures":[` + strings.Repeat("{},", n/3) + `0],"signed":` + signedText("targets", Object{"targets": Object{}}) + `}`
	}},
}

const letterNames = 26 * 26 * 26 * 26 * 26

// letters numbers names of n letters; step puts the numbers into no order.
func letters(i, n int) string {
	name := make([]byte, n)
	for k := n - 1; k >= 0; k-- {
		name[k] = 'a' + byte(i%26)
		i /= 26
	}
	return string(name)
}

func step(i int) int { return i * 7_654_321 % letterNames }

// memberText writes an object of length bytes, or of count members.
func memberText(length, count int, member func(i int) (name, value string)) string {
	var b strings.Builder
	b.Grow(length + 100)
	b.WriteString("{")
	for i := 0; b.Len() < length && (count == 0 || i < count); i++ {
		if i > 0 {
			b.WriteString(",")
		}
		name, value := member(i)
		b.WriteString(`"` + name + `":` + value)
	}
	b.WriteString("}")
	return b.String()
}

// rolesOf writes delegations of length bytes, or of count roles.
func rolesOf(length, count int, more string) string { return rolesWith(length, count, `"k"`, more) }

func rolesWith(length, count int, keyIDs, more string) string {
	var b strings.Builder
	b.WriteString(`{"keys":{},"roles":[`)
	for i := 0; b.Len() < length || i < count; i++ {
		if count > 0 && i == count {
			break
		}
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`{"keyids":[` + keyIDs + `],"name":"` + letters(step(i), 5) + `",` + more + `}`)
	}
	b.WriteString("]}")
	return b.String()
}

// signedText is what is signed of a file.
func signedText(kind string, more Object) string {
	more["_type"], more["spec_version"], more["version"] = kind, "1.0.34", 1
	more["expires"] = Start().AddDate(0, 0, 30).Format(time.RFC3339)
	return string(Canonical(more))
}

// signedFile is a file with a signature under each key ID. The canonical form is the verifier's own: what
// these files cost counts here, not whether they are right.
func signedFile(signed string, keys ...*Key) []byte {
	message, err := strict.Canonical([]byte(signed))
	if err != nil {
		message = []byte(signed) // no signature is right
	}
	var b strings.Builder
	b.Grow(len(signed) + 300*len(keys))
	b.WriteString(`{"signatures":[`)
	for i, key := range keys {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(`{"keyid":"` + key.ID + `","sig":"` + hex.EncodeToString(key.Sign(message)) + `"}`)
	}
	b.WriteString(`],"signed":` + signed + `}`)
	return []byte(b.String())
}

// once makes a Tamper of a file that does not change.
func once(make func() []byte) func([]byte) []byte {
	var file []byte
	return func([]byte) []byte {
		if file == nil {
			file = make()
		}
		return file
	}
}

func published(change func(r *Repository)) *Repository {
	r := New()
	r.MetaHashes = true
	r.Delegate(verifier.Targets, Delegation{Name: "vendor", Paths: []string{"vendor/*/*"}})
	change(r)
	return r
}

// forger signs with a key that nobody trusts, under the ID of one that is trusted: the signature must be checked.
func forger(trusted *Key) *Key { return Ed25519("forger").As(trusted.ID) }

func hostileSnapshot(more func() Object) *Repository {
	return published(func(r *Repository) {
		key := forger(r.Grants[verifier.Snapshot].Keys[0])
		r.Snapshot.Tamper = once(func() []byte { return signedFile(signedText("snapshot", more()), key) })
	})
}

func hostileTargets(more func() Object) *Repository {
	return published(func(r *Repository) {
		key := forger(r.Grants[verifier.Targets].Keys[0])
		r.Targets().Tamper = once(func() []byte { return signedFile(signedText("targets", more()), key) })
	})
}

func hostileVendor(more func() Object) *Repository {
	return published(func(r *Repository) {
		r.Roles["vendor"].Tamper = once(func() []byte { return signedFile(signedText("targets", more()), r.Roles["vendor"].By...) })
	})
}

// manySigned is a vendor's delegation to a long role with 256 keys, all of which sign.
func manySigned(n int) *Repository {
	return published(func(r *Repository) {
		var keys []*Key
		for i := range 256 {
			keys = append(keys, Ed25519("many-"+strconv.Itoa(i)))
		}
		long := r.Delegate("vendor", Delegation{Name: "long", Paths: []string{"*/*/*"}, Grant: Grant{Keys: keys, Threshold: 256}})
		long.Tamper = once(func() []byte {
			return signedFile(signedText("targets", Object{"targets": Object{}, "x": strings.Repeat("x", n)}), keys...)
		})
	})
}

// manyRSA are keys that no one has: their signatures have to be checked before that shows.
func manyRSA(bits, exponent int) *Repository {
	var keys []*Key
	random := rand.New(rand.NewPCG(1, uint64(bits)))
	for i := range 255 {
		raw := make([]byte, bits/8)
		for k := range raw {
			raw[k] = byte(random.Uint32())
		}
		raw[0], raw[len(raw)-1] = raw[0]|0x80, raw[len(raw)-1]|1
		public := &rsa.PublicKey{N: new(big.Int).SetBytes(raw), E: exponent}
		raw[0] &= 0x7f
		sig := append([]byte{}, raw...)
		keys = append(keys, &Key{ID: fmt.Sprintf("rsa-%d", i), Entry: entry("rsa", "rsassa-pss-sha256", PEM(public)),
			Sign: func([]byte) []byte { return sig }})
	}
	return manyChecks(keys)
}

// manyP521 signs with other keys than are listed.
func manyP521() *Repository {
	other := ECDSA("other", elliptic.P521())
	sig := other.Sign(nil)
	var keys []*Key
	for i := range 255 {
		key := ECDSA("p521-"+strconv.Itoa(i), elliptic.P521())
		key.Sign = func([]byte) []byte { return sig }
		keys = append(keys, key)
	}
	return manyChecks(keys)
}

// manyChecks is a vendor's chain of 32 roles, with 255 keys each under which there are signatures.
func manyChecks(keys []*Key) *Repository {
	return published(func(r *Repository) {
		from := "vendor"
		for i := range 31 {
			name := "rsa-role-" + strconv.Itoa(i)
			good := Ed25519(name)
			role := r.Delegate(from, Delegation{Name: name, Paths: []string{"*/*/*"}, Grant: Grant{Keys: append([]*Key{good}, keys...), Threshold: 1}})
			role.By = append(append([]*Key{}, keys...), good)
			from = name
		}
	})
}

// ManyVendors are n vendors, each with a file of length bytes that costs as much as one can: a device that
// runs something of each looks all of them up. Their paths are vendor0/stable/x.img and so on.
func ManyVendors(n, length int) *Repository {
	r := New()
	r.MetaHashes = true
	key := Ed25519("vendors")
	file := once(func() []byte {
		return signedFile(signedText("targets", Object{"targets": Object{}, "x": Raw(hostileMembers[0].fill(length))}), key)
	})
	for i := range n {
		name := fmt.Sprintf("vendor%d", i)
		r.Delegate(verifier.Targets, Delegation{Name: name, Paths: []string{name + "/*/*"}, Grant: Grant{Keys: []*Key{key}, Threshold: 1}}).Tamper = file
	}
	return r
}

// bothLong are targets of the given length, and a vendor's file as long whose bytes are not canonical.
func bothLong(n int) *Repository {
	return published(func(r *Repository) {
		r.Targets().Edit = func(signed Object) { signed["x"] = strings.Repeat("x", n) }
		vendor := r.Roles["vendor"]
		vendor.Edit = func(signed Object) { signed["x"] = strings.Repeat("x", n) }
		vendor.Tamper = func(file []byte) []byte { return []byte(strings.Replace(string(file), `"_type":`, ` "_type":`, 1)) }
	})
}
