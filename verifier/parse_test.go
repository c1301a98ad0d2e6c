package verifier_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/ota-agent/ota-agent/verifier"
	"github.com/ota-agent/ota-agent/verifier/tuftest"
)

// edits puts an edit on the role, and publishes it if it is root.
func edit(r *tuftest.Repository, role string, f func(tuftest.Object)) {
	switch role {
	case verifier.Root:
		r.Root.Edit = f
		r.PublishRoot()
	case verifier.Timestamp:
		r.Timestamp.Edit = f
	case verifier.Snapshot:
		r.Snapshot.Edit = f
	default:
		r.Roles[role].Edit = f
	}
}

func topLevel() []string {
	return []string{verifier.Root, verifier.Timestamp, verifier.Snapshot, verifier.Targets}
}

func TestA1_UnknownFieldsAreKeptForTheSignature(t *testing.T) {
	for _, role := range topLevel() {
		for _, value := range []any{"text", nil, tuftest.Raw("123456789012345678901234567890"), tuftest.Raw("-9007199254740993"),
			tuftest.Object{"a": tuftest.Raw(`{"b":[null,{}]}`)}, "line\nfeed \x01 \"\\ \U0001F600"} {
			repo, client := newDevice()
			edit(repo, role, set("x-unknown", value))
			refreshed(t, client)
		}
	}
	repo, client := newDevice()
	edit(repo, verifier.Root, func(signed tuftest.Object) {
		for _, key := range object(signed, "keys") {
			key.(tuftest.Object)["x"] = tuftest.Object{"y": nil}
		}
		object(signed, "roles", "snapshot")["x"] = 1
	})
	edit(repo, verifier.Timestamp, func(signed tuftest.Object) { object(signed, "meta", "snapshot.json")["x"] = nil })
	refreshed(t, client)
}

// What is verified are the received bytes, so that nothing which a struct would lose or change spoils a signature.
func TestA2_SignaturesAreOverTheReceivedDocument(t *testing.T) {
	repo, client := newDevice()
	edit(repo, verifier.Root, func(signed tuftest.Object) {
		delete(signed, "consistent_snapshot")
	})
	repo.Consistent = false
	repo.MetaHashes = true
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"d/*"}})
	repo.Targets().Targets["empty"] = tuftest.Object{"length": 0, "custom": nil, "hashes": tuftest.Object{
		"sha256": "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855"}}
	repo.Targets().Edit = func(signed tuftest.Object) {
		for _, role := range object(signed, "delegations")["roles"].([]any) {
			delete(role.(tuftest.Object), "terminating")
		}
	}
	found, err := client.Find("empty")
	if err != nil {
		t.Fatal(err)
	}
	check := found.Target.Check()
	if _, err := check.Done(); err != nil {
		t.Errorf("upper-case hex is compared by value: %v", err)
	}
	if string(found.Target.Custom) != "null" {
		t.Errorf("custom null came as %q", found.Target.Custom)
	}
	if _, err := client.Find("d/x"); !errors.Is(err, verifier.ErrNotListed) {
		t.Errorf("got %v", err)
	}
}

// The file's spelling is the publisher's: order, white space and escapes are not signed.
func TestA3_SpellingDoesNotMatter(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Add("line\nfeed \" \\ \u00e9 \U0001F600 \x7f", []byte("x"))
	respell := func(file []byte) []byte {
		s := string(file)
		s = strings.ReplaceAll(s, `"_type":`, " \"\\u005ftype\"\t: ")
		s = strings.ReplaceAll(s, "\u00e9", `\u00e9`)
		s = strings.ReplaceAll(s, "\U0001F600", `\uD83D\uDE00`)
		return []byte(strings.Replace(s, `,"signed"`, ",\r\n \"signed\"", 1) + " \n\t ")
	}
	for _, role := range []*tuftest.Role{repo.Timestamp, repo.Snapshot, repo.Targets()} {
		role.Tamper = respell
	}
	if _, err := client.Find("line\nfeed \" \\ \u00e9 \U0001F600 \x7f"); err != nil {
		t.Error(err)
	}
}

func TestA4A5A6_WhatIsNotOneDocumentIsRefused(t *testing.T) {
	replace := func(old, new string) func([]byte) []byte {
		return func(file []byte) []byte {
			if !bytes.Contains(file, []byte(old)) {
				panic("nothing to tamper with")
			}
			return bytes.Replace(file, []byte(old), []byte(new), 1)
		}
	}
	tests := map[string]func([]byte) []byte{
		"A4 duplicate key":            replace(`"version":1`, `"version":1,"version":1`),
		"A4 duplicate key, escaped":   replace(`"version":1`, `"version":1,"\u0076ersion":1`),
		"A4 duplicate signatures":     replace(`"signed":`, `"signatures":[],"signed":`),
		"A5 key of another case":      replace(`"_type"`, `"_Type"`),
		"A5 signed of another case":   replace(`"signed"`, `"Signed"`),
		"A6 invalid UTF-8":            replace(`"spec_version"`, "\"\xff\":1,\"spec_version\""),
		"A6 lone surrogate":           replace(`"spec_version"`, `"\ud800":1,"spec_version"`),
		"A6 trailing data":            func(file []byte) []byte { return append(bytes.Clone(file), "{}"...) },
		"A6 trailing NUL":             func(file []byte) []byte { return append(bytes.Clone(file), 0) },
		"A6 leading byte order mark":  func(file []byte) []byte { return append([]byte("\xef\xbb\xbf"), file...) },
		"A6 deep nesting":             replace(`"version":1`, `"a":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`,"version":1`),
		"A6 empty":                    func([]byte) []byte { return []byte{} },
		"A6 null":                     func([]byte) []byte { return []byte("null") },
		"A3 fraction":                 replace(`"version":1`, `"version":1.0`),
		"A3 exponent":                 replace(`"version":1`, `"version":1e0`),
		"A3 fraction in unknown part": replace(`"version":1`, `"a":0.5,"version":1`),
		"signed is null":              func([]byte) []byte { return []byte(`{"signed":null,"signatures":[]}`) },
		"signatures is an object":     func([]byte) []byte { return []byte(`{"signed":{},"signatures":{}}`) },
	}
	for name, tamper := range tests {
		for _, role := range []string{verifier.Timestamp, verifier.Snapshot, verifier.Targets} {
			t.Run(name+" in "+role, func(t *testing.T) {
				repo, client := newDevice()
				switch role {
				case verifier.Timestamp:
					repo.Timestamp.Tamper = tamper
				case verifier.Snapshot:
					repo.Snapshot.Tamper = tamper
				default:
					repo.Targets().Tamper = tamper
				}
				refused(t, client, role, verifier.ErrMalformed)
				wantStored(t, client, role, 0)
			})
		}
	}
}

// A7 to A13, A16, A17: documents that are properly signed and yet not what the role must say.
func TestA7toA13A16A17_SignedNonsenseIsRefused(t *testing.T) {
	in := func(path []string, name string, v any) func(tuftest.Object) {
		return func(signed tuftest.Object) { object(signed, path...)[name] = v }
	}
	drop := func(path []string, name string) func(tuftest.Object) {
		return func(signed tuftest.Object) { delete(object(signed, path...), name) }
	}
	snapshotMeta, targetsMeta := []string{"meta", "snapshot.json"}, []string{"meta", "targets.json"}
	rootRole := []string{"roles", "timestamp"}
	long := tuftest.Raw("99999999999999999999")
	tests := []struct {
		name, role string
		edit       func(tuftest.Object)
	}{
		{"A8 type of another role", "timestamp", set("_type", "snapshot")},
		{"A8 type of another role", "targets", set("_type", "root")},
		{"A8 type of another case", "timestamp", set("_type", "Timestamp")},
		{"A8 type no text", "timestamp", set("_type", 1)},
		{"A8 no type", "timestamp", without("_type")},
		{"A9 no spec_version", "snapshot", without("spec_version")},
		{"A9 spec_version a number", "snapshot", set("spec_version", 1)},
		{"A9 spec_version one part", "snapshot", set("spec_version", "1")},
		{"A9 spec_version four parts", "snapshot", set("spec_version", "1.0.0.0")},
		{"A9 spec_version words", "snapshot", set("spec_version", "1.0.x")},
		{"A9 spec_version empty part", "snapshot", set("spec_version", "1..0")},
		{"A10 version 0", "timestamp", set("version", 0)},
		{"A10 version negative", "timestamp", set("version", -1)},
		{"A10 version null", "timestamp", set("version", nil)},
		{"A10 version text", "timestamp", set("version", "1")},
		{"A10 version beyond the maximum", "timestamp", set("version", tuftest.Raw("9223372036854775807"))},
		{"A10 version beyond 64 bits", "timestamp", set("version", long)},
		{"A10 no version", "timestamp", without("version")},
		{"A10 meta version 0", "timestamp", in(snapshotMeta, "version", 0)},
		{"A10 meta version negative", "snapshot", in(targetsMeta, "version", -5)},
		{"A10 meta without version", "snapshot", drop(targetsMeta, "version")},
		{"A11 expires with a fraction", "targets", set("expires", "2030-02-01T00:00:00.5Z")},
		{"A11 expires with an offset", "targets", set("expires", "2030-02-01T00:00:00+00:00")},
		{"A11 expires without Z", "targets", set("expires", "2030-02-01T00:00:00")},
		{"A11 expires on no day", "targets", set("expires", "2030-02-30T00:00:00Z")},
		{"A11 expires in lower case", "targets", set("expires", "2030-02-01t00:00:00z")},
		{"A11 expires null", "targets", set("expires", nil)},
		{"A11 no expires", "targets", without("expires")},
		{"A12 no root role", "root", drop([]string{"roles"}, "root")},
		{"A12 no timestamp role", "root", drop([]string{"roles"}, "timestamp")},
		{"A12 no snapshot role", "root", drop([]string{"roles"}, "snapshot")},
		{"A12 no targets role", "root", drop([]string{"roles"}, "targets")},
		{"A12 no roles", "root", without("roles")},
		{"A12 no keys", "root", without("keys")},
		{"A12 keys null", "root", set("keys", nil)},
		{"A12 roles an array", "root", set("roles", []any{})},
		{"A12 consistent_snapshot text", "root", set("consistent_snapshot", "yes")},
		{"A13 threshold 0", "root", in(rootRole, "threshold", 0)},
		{"A13 threshold negative", "root", in(rootRole, "threshold", -1)},
		{"A13 threshold text", "root", in(rootRole, "threshold", "1")},
		{"A13 no threshold", "root", drop(rootRole, "threshold")},
		{"A13 no keyids", "root", drop(rootRole, "keyids")},
		{"A13 keyids null", "root", in(rootRole, "keyids", nil)},
		{"A13 key ID twice", "root", in(rootRole, "keyids", []string{"a", "a"})},
		{"A13 key ID no text", "root", in(rootRole, "keyids", []any{nil})},
		{"A7 role null", "root", in([]string{"roles"}, "timestamp", nil)},
		{"A16 meta lists more", "timestamp", in([]string{"meta"}, "targets.json", tuftest.Object{"version": 1})},
		{"A16 meta lists something else", "timestamp", set("meta", tuftest.Object{"targets.json": tuftest.Object{"version": 1}})},
		{"A16 meta empty", "timestamp", set("meta", tuftest.Object{})},
		{"A16 no meta", "timestamp", without("meta")},
		{"A7 meta null", "timestamp", set("meta", nil)},
		{"A7 meta entry null", "timestamp", in([]string{"meta"}, "snapshot.json", nil)},
		{"A17 snapshot without targets", "snapshot", drop([]string{"meta"}, "targets.json")},
		{"A17 no meta", "snapshot", without("meta")},
		{"A7 meta entry null", "snapshot", in([]string{"meta"}, "other.json", nil)},
		{"E2 hashes empty", "timestamp", in(snapshotMeta, "hashes", tuftest.Object{})},
		{"E2 hashes null", "timestamp", in(snapshotMeta, "hashes", nil)},
		{"E2 hash null", "timestamp", in(snapshotMeta, "hashes", tuftest.Object{"sha256": nil})},
		{"E2 hash of another size", "timestamp", in(snapshotMeta, "hashes", tuftest.Object{"sha256": "00"})},
		{"E2 hash no hex", "timestamp", in(snapshotMeta, "hashes", tuftest.Object{"sha512": strings.Repeat("zz", 64)})},
		{"E1 length negative", "timestamp", in(snapshotMeta, "length", -1)},
		{"E1 length text", "timestamp", in(snapshotMeta, "length", "1")},
		{"A7 targets null", "targets", set("targets", nil)},
		{"A7 targets an array", "targets", set("targets", []any{})},
		{"A7 no targets", "targets", without("targets")},
		{"A7 delegations an array", "targets", set("delegations", []any{})},
	}
	for _, test := range tests {
		t.Run(test.name+" in "+test.role, func(t *testing.T) {
			repo, client := newDevice()
			edit(repo, test.role, test.edit)
			refused(t, client, test.role, verifier.ErrMalformed)
			wantStored(t, client, test.role, 0)
			if client.Store.Documents[verifier.Key{Role: "root", Version: 2}] != nil {
				t.Error("a refused root was persisted")
			}
		})
	}
}

func TestA9_SpecVersions(t *testing.T) {
	for _, version := range []string{"1.0", "1.0.0", "1.0.34", "1.31"} {
		repo, client := newDevice()
		repo.Timestamp.Edit = set("spec_version", version)
		refreshed(t, client)
	}
	for _, version := range []string{"2.0", "0.9.1", "10.0"} {
		repo, client := newDevice()
		repo.Timestamp.Edit = set("spec_version", version)
		refused(t, client, verifier.Timestamp, verifier.ErrUnsupported)
	}
}

func TestA10_TheHighestVersionIsAccepted(t *testing.T) {
	repo, client := newDevice()
	repo.Timestamp.Version = verifier.VersionMax
	refreshed(t, client)
	wantStored(t, client, verifier.Timestamp, verifier.VersionMax)
}

func TestA12_AnOptionalMirrorsRoleIsTolerated(t *testing.T) {
	repo, client := newDevice()
	edit(repo, verifier.Root, func(signed tuftest.Object) {
		object(signed, "roles")["mirrors"] = tuftest.Object{"keyids": nil, "threshold": "none"}
	})
	refreshed(t, client)
}

func TestA13_AThresholdThatCannotBeMetIsNoReasonToRefuseRoot(t *testing.T) {
	repo, client := newDevice()
	repo.Grants[verifier.Snapshot].Threshold = 5
	repo.PublishRoot()
	refused(t, client, verifier.Snapshot, verifier.ErrUnsigned)
	if client.Store.Documents[verifier.Key{Role: "root", Version: 2}] == nil {
		t.Error("the root was not kept")
	}
}

// signatures puts text in front of the first signature of a file.
func signatures(text string) func([]byte) []byte {
	return func(file []byte) []byte {
		return bytes.Replace(file, []byte(`"signatures":[`), []byte(`"signatures":[`+text+`,`), 1)
	}
}

func TestA14_ARepeatedKeyIDRefusesTheDocument(t *testing.T) {
	for _, id := range []string{tuftest.Ed25519("timestamp-1").ID, "stranger"} {
		repo, client := newDevice()
		one := `{"keyid":"` + id + `","sig":""}`
		repo.Timestamp.Tamper = signatures(one + "," + one)
		refused(t, client, verifier.Timestamp, verifier.ErrMalformed)
	}
}

func TestA15_ABadSignatureSpoilsNothing(t *testing.T) {
	for _, bad := range []string{`{"keyid":"stranger","sig":"00"}`, `{"keyid":"stranger","sig":""}`, `{"keyid":"stranger","sig":"no hex"}`,
		`{"keyid":"stranger","sig":"abc"}`, `{"keyid":"stranger"}`, `{"keyid":"stranger","sig":null}`, `{"keyid":7,"sig":"00"}`, `{}`,
		`null`, `[]`, `"text"`, `{"keyid":"stranger","sig":1.5}`} {
		repo, client := newDevice()
		repo.Timestamp.Tamper = signatures(bad)
		refreshed(t, client)
	}
	// And it counts for nothing.
	repo, client := newDevice()
	second := tuftest.Ed25519("timestamp-2")
	repo.Grants[verifier.Timestamp] = &tuftest.Grant{Keys: append(ed25519s("timestamp-1"), second), Threshold: 2}
	repo.PublishRoot()
	repo.Timestamp.By = ed25519s("timestamp-1")
	repo.Timestamp.Tamper = signatures(`{"keyid":"` + second.ID + `","sig":""}`)
	refused(t, client, verifier.Timestamp, verifier.ErrUnsigned)
}

// An empty signature is none: it doesn't use up the one try that each key has.
func TestA15_AnEmptySignatureIsNotATry(t *testing.T) {
	repo, client := newDevice()
	key := tuftest.Ed25519("key")
	grant(repo, verifier.Timestamp, 1, key, key.As("alias"))
	repo.Timestamp.By = []*tuftest.Key{key}
	repo.Timestamp.Tamper = signatures(`{"keyid":"alias","sig":""}`)
	refreshed(t, client)
}

func TestA17_ADelegatedRoleMustBeInTheSnapshot(t *testing.T) {
	repo, client := newDevice()
	repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}})
	repo.Snapshot.Edit = func(signed tuftest.Object) { delete(object(signed, "meta"), "d.json") }
	_, err := client.Find("x")
	wantRefusal(t, err, "d", verifier.ErrMalformed)
	wantAsked(t, repo, "2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json")
}

func TestA18_AmbiguousDelegationsAreRefused(t *testing.T) {
	role := func(change func(tuftest.Object)) func(tuftest.Object) {
		return func(signed tuftest.Object) {
			change(object(signed, "delegations")["roles"].([]any)[0].(tuftest.Object))
		}
	}
	all := func(change func(tuftest.Object)) func(tuftest.Object) {
		return func(signed tuftest.Object) { change(object(signed, "delegations")) }
	}
	bins := func(bits any) func(tuftest.Object) {
		return all(func(d tuftest.Object) {
			delete(d, "roles")
			d["succinct_roles"] = tuftest.Object{"keyids": []string{}, "threshold": 1, "bit_length": bits, "name_prefix": "b"}
		})
	}
	binsWithout := func(name string) func(tuftest.Object) {
		return func(signed tuftest.Object) {
			bins(4)(signed)
			delete(object(signed, "delegations", "succinct_roles"), name)
		}
	}
	tests := map[string]func(tuftest.Object){
		"name empty":              role(set("name", "")),
		"name missing":            role(without("name")),
		"name null":               role(set("name", nil)),
		"name root":               role(set("name", "root")),
		"name timestamp":          role(set("name", "timestamp")),
		"name snapshot":           role(set("name", "snapshot")),
		"name targets":            role(set("name", "targets")),
		"paths and prefixes":      role(set("path_hash_prefixes", []string{"00"})),
		"paths null":              role(set("paths", nil)),
		"path null":               role(set("paths", []any{nil})),
		"terminating text":        role(set("terminating", "true")),
		"terminating null":        role(set("terminating", nil)),
		"threshold 0":             role(set("threshold", 0)),
		"threshold missing":       role(without("threshold")),
		"keyids missing":          role(without("keyids")),
		"key ID twice":            role(set("keyids", []string{"a", "a"})),
		"role null":               all(func(d tuftest.Object) { d["roles"] = []any{nil} }),
		"roles null":              all(set("roles", nil)),
		"name twice":              all(func(d tuftest.Object) { d["roles"] = append(d["roles"].([]any), d["roles"].([]any)[0]) }),
		"neither roles nor bins":  all(without("roles")),
		"roles and bins":          all(set("succinct_roles", tuftest.Object{"keyids": []string{}, "threshold": 1, "bit_length": 1, "name_prefix": "b"})),
		"keys missing":            all(without("keys")),
		"keys null":               all(set("keys", nil)),
		"bit_length 0":            bins(0),
		"bit_length 33":           bins(33),
		"bit_length text":         bins("4"),
		"bins without prefix":     binsWithout("name_prefix"),
		"bins without bit_length": binsWithout("bit_length"),
		"bins without keyids":     binsWithout("keyids"),
		"bins null":               all(func(d tuftest.Object) { delete(d, "roles"); d["succinct_roles"] = nil }),
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			repo, client := newDevice()
			repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d", Paths: []string{"*"}})
			repo.Targets().Edit = edit
			refused(t, client, verifier.Targets, verifier.ErrMalformed)
			wantStored(t, client, verifier.Targets, 0)
		})
	}
}

func TestA18_NeitherPathsNorPrefixesMatchesNothing(t *testing.T) {
	repo, client := newDevice()
	d := repo.Delegate(verifier.Targets, tuftest.Delegation{Name: "d"})
	d.Add("x", []byte("x"))
	if _, err := client.Find("x"); !errors.Is(err, verifier.ErrNotListed) {
		t.Errorf("got %v", err)
	}
}

func TestA18_NullDelegationsAreNone(t *testing.T) {
	repo, client := newDevice()
	repo.Targets().Edit = set("delegations", nil)
	refreshed(t, client)
}

// An entry is judged when it is looked up. A bad one spoils no other.
func TestA19_TargetEntries(t *testing.T) {
	good := tuftest.Object{"sha256": strings.Repeat("00", 32)}
	tests := []struct {
		name  string
		entry any
		class error
	}{
		{"length 0", tuftest.Object{"length": 0, "hashes": good}, nil},
		{"sha512 only", tuftest.Object{"length": 1, "hashes": tuftest.Object{"sha512": strings.Repeat("0A", 64)}}, nil},
		{"unknown hash beside a known one", tuftest.Object{"length": 1, "hashes": tuftest.Object{"md5": "0", "sha256": strings.Repeat("00", 32)}}, nil},
		{"no known hash", tuftest.Object{"length": 1, "hashes": tuftest.Object{"md5": "00"}}, verifier.ErrUnsupported},
		{"length negative", tuftest.Object{"length": -1, "hashes": good}, verifier.ErrMalformed},
		{"length missing", tuftest.Object{"hashes": good}, verifier.ErrMalformed},
		{"hashes missing", tuftest.Object{"length": 1}, verifier.ErrMalformed},
		{"hashes empty", tuftest.Object{"length": 1, "hashes": tuftest.Object{}}, verifier.ErrMalformed},
		{"hash too short", tuftest.Object{"length": 1, "hashes": tuftest.Object{"sha256": "00"}}, verifier.ErrMalformed},
		{"entry null", nil, verifier.ErrMalformed},
		{"entry an array", []any{}, verifier.ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			repo, client := newDevice()
			repo.Targets().Targets["x"] = test.entry
			repo.Targets().Add("y", []byte("y"))
			_, err := client.Find("x")
			if test.class == nil && err != nil {
				t.Errorf("got %v", err)
			}
			if test.class != nil {
				wantRefusal(t, err, verifier.Targets, test.class)
			}
			if _, err := client.Find("y"); err != nil {
				t.Errorf("the entry beside it: %v", err)
			}
		})
	}
}

func TestA19_CustomIsHandedOnAsItCame(t *testing.T) {
	for _, custom := range []string{`{"a":[null,{}],"b":12345678901234567890}`, `"text"`, `17`, `true`, `[]`, `null`} {
		repo, client := newDevice()
		repo.Targets().Targets["x"] = tuftest.Target([]byte("x"), tuftest.Raw(custom))
		found, err := client.Find("x")
		if err != nil || string(found.Target.Custom) != custom {
			t.Errorf("%s came as %s (%v)", custom, found.Target.Custom, err)
		}
	}
}
