package verifier

import (
	"crypto/sha256"
	"time"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// A rootRole is a root file as read (TUF 4.3).
type rootRole struct {
	*document
	consistent bool
	grants     map[string]signers
}

// readRoot reads a root. It must grant each of the four top-level roles; others, such as the optional mirrors
// role of old, are tolerated.
func readRoot(raw []byte, limits Limits) (*rootRole, *MetadataError) {
	r := &rootRole{}
	var keys strict.Value
	var grants map[string]grant
	d, refusal := readDocument(Root, Root, raw, limits, func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "consistent_snapshot":
			r.consistent, err = v.Bool()
		case "keys":
			keys, err = v, checkKeys(v, limits)
		case "roles":
			grants, err = readRootGrants(v, limits)
		}
		return err
	})
	if refusal != nil {
		return nil, refusal
	}
	if keys.Kind() == strict.Absent {
		return nil, missing("keys").of(Root, d.version)
	}
	r.document, r.grants = d, map[string]signers{}
	named := keyRing{}
	for _, role := range topLevelRoles {
		g, ok := grants[role]
		if !ok {
			return nil, refuse(ErrMalformed, "4.3", "a role "+role, "none").of(Root, d.version)
		}
		named.name(g)
	}
	named.read(keys)
	for _, role := range topLevelRoles {
		r.grants[role] = named.signers(grants[role])
	}
	return r, nil
}

func readRootGrants(v strict.Value, limits Limits) (map[string]grant, error) {
	grants := map[string]grant{}
	err := v.Object(func(name []byte, v strict.Value) error {
		if len(name) > len(Timestamp) || !isTopLevel(string(name)) {
			return nil
		}
		var g grant
		err := v.Object(func(name []byte, v strict.Value) error {
			_, err := g.readField(string(name), v, limits)
			return err
		})
		if err == nil {
			err = g.complete()
		}
		grants[string(name)] = g
		return err
	})
	return grants, err
}

// sum identifies the root by what is signed, whoever signed it.
func (r *rootRole) sum() [32]byte { return sha256.Sum256(r.message.bytes) }

// holds reports whether a floor's keys would still meet the threshold of a top-level role; no floor always holds.
func (r *rootRole) holds(role string, f Floor) bool {
	return f.Version == 0 || r.grants[role].met(f.Signers)
}

// fileVersion is the version in front of a file's name: none without consistent snapshots (TUF 6.2).
func (r *rootRole) fileVersion(version int64) int64 {
	if r.consistent {
		return version
	}
	return 0
}

// A timestampRole is a timestamp file as read (TUF 4.6).
type timestampRole struct {
	*document
	by       []KeyHash
	snapshot meta
	signedAt time.Time // zero where there is none
	signedBy []KeyHash // who says so: by, or the signers of an earlier timestamp that says a later time
}

func readTimestamp(raw []byte, limits Limits) (*timestampRole, *MetadataError) {
	t := &timestampRole{}
	var all metas
	d, refusal := readDocument(Timestamp, Timestamp, raw, limits, func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "meta":
			all, err = readMetas(v)
		case "signed_at":
			// Not of the specification: to other publishers the name may mean anything.
			if at, err := v.Time(); err == nil {
				t.signedAt = at
			}
		}
		return err
	})
	if refusal != nil {
		return nil, refusal
	}
	snapshot, ok := all.get("snapshot.json")
	if n := all.index.Len(); !ok || n != 1 {
		return nil, refuse(ErrMalformed, "4.6", "meta with snapshot.json and nothing else",
			countText(n, "entry", "entries")).of(Timestamp, d.version)
	}
	t.document, t.snapshot = d, snapshot
	return t, nil
}

// A snapshotRole is a snapshot file as read (TUF 4.4).
type snapshotRole struct {
	*document
	by   []KeyHash
	meta metas // by file name: "targets.json"
}

func readSnapshot(raw []byte, limits Limits) (*snapshotRole, *MetadataError) {
	s := &snapshotRole{}
	d, refusal := readDocument(Snapshot, Snapshot, raw, limits, func(name []byte, v strict.Value) (err error) {
		if string(name) == "meta" {
			s.meta, err = readMetas(v)
		}
		return err
	})
	if refusal != nil {
		return nil, refusal
	}
	if _, ok := s.meta.get("targets.json"); !ok {
		return nil, refuse(ErrMalformed, "4.4", "meta with targets.json",
			countText(s.meta.index.Len(), "other entry", "other entries")).of(Snapshot, d.version)
	}
	s.document = d
	return s, nil
}

// A targetsRole is a targets file as read, of the top-level role or a delegated one (TUF 4.5). The targets
// themselves stay unread until one is looked up.
type targetsRole struct {
	*document
	by          []KeyHash
	targets     strict.Value
	delegations delegations
}

func readTargets(role string, raw []byte, limits Limits) (*targetsRole, *MetadataError) {
	t := &targetsRole{}
	d, refusal := readDocument(role, Targets, raw, limits, t.field(limits, false))
	return t.complete(d, refusal)
}

// reopenTargets reads bytes that were read and verified before, as a receipt says: nothing but what they say.
func reopenTargets(role string, raw []byte, limits Limits) (*targetsRole, *MetadataError) {
	signed, err := strict.ReopenSigned(raw)
	if err != nil {
		return nil, malformed("4.2", err).of(role, 0)
	}
	t := &targetsRole{}
	d, refusal := readSigned(role, Targets, raw, signed, t.field(limits, true))
	return t.complete(d, refusal)
}

// field takes the members that only a targets file has. before: the file was read once already.
func (t *targetsRole) field(limits Limits, before bool) fields {
	return func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "targets":
			if t.targets = v; v.Kind() != strict.Object {
				err = v.Refuse("an object")
			}
		case "delegations":
			if !v.IsNull() {
				t.delegations, err = readDelegations(v, limits, before)
			}
		}
		return err
	}
}

func (t *targetsRole) complete(d *document, refusal *MetadataError) (*targetsRole, *MetadataError) {
	if refusal != nil {
		return nil, refusal
	}
	if t.targets.Kind() == strict.Absent {
		return nil, missing("targets").of(d.role, d.version)
	}
	t.document = d
	return t, nil
}
