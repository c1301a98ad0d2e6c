package publish

import "encoding/json"

// The fields of every type below stand in the order of their JSON names, so that what encode writes is already
// sorted: a device then verifies the bytes as they came (the fast path of its canonical form).

// specVersion is the specification that the metadata follows.
const specVersion = "1.0.34"

// Names of the top-level roles (TUF 2.1).
const (
	roleRoot      = "root"
	roleTimestamp = "timestamp"
	roleSnapshot  = "snapshot"
	roleTargets   = "targets"
)

// timeFormat is the only form of a time that TUF metadata knows (TUF 4.2.1).
const timeFormat = "2006-01-02T15:04:05Z"

// A Signature is one key's signature over a document's canonical form.
type Signature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
}

// A document is a role's file: what is signed, and by whom.
type document[T any] struct {
	Signatures []Signature `json:"signatures"`
	Signed     T           `json:"signed"`
}

// RoleKeys says which keys sign for a role, and how many of them must.
type RoleKeys struct {
	KeyIDs    []string `json:"keyids"`
	Threshold int      `json:"threshold"`
}

type rootSigned struct {
	Type               string              `json:"_type"`
	ConsistentSnapshot bool                `json:"consistent_snapshot"`
	Expires            string              `json:"expires"`
	Keys               map[string]Key      `json:"keys"`
	Roles              map[string]RoleKeys `json:"roles"`
	SpecVersion        string              `json:"spec_version"`
	Version            int64               `json:"version"`
}

type targetsSigned struct {
	Type        string                `json:"_type"`
	Delegations *delegations          `json:"delegations,omitempty"`
	Expires     string                `json:"expires"`
	SpecVersion string                `json:"spec_version"`
	Targets     map[string]targetFile `json:"targets"`
	Version     int64                 `json:"version"`
}

type targetFile struct {
	Custom json.RawMessage `json:"custom,omitempty"`
	Hashes fileHashes      `json:"hashes"`
	Length int64           `json:"length"`
}

type fileHashes struct {
	SHA256 string `json:"sha256"`
	SHA512 string `json:"sha512,omitempty"`
}

type delegations struct {
	Keys          map[string]Key  `json:"keys"`
	Roles         []delegatedRole `json:"roles,omitempty"`
	SuccinctRoles *succinctRoles  `json:"succinct_roles,omitempty"`
}

type delegatedRole struct {
	KeyIDs           []string `json:"keyids"`
	Name             string   `json:"name"`
	PathHashPrefixes []string `json:"path_hash_prefixes,omitempty"`
	Paths            []string `json:"paths,omitempty"`
	Terminating      bool     `json:"terminating"`
	Threshold        int      `json:"threshold"`
}

type succinctRoles struct {
	BitLength  int      `json:"bit_length"`
	KeyIDs     []string `json:"keyids"`
	NamePrefix string   `json:"name_prefix"`
	Threshold  int      `json:"threshold"`
}

type snapshotSigned struct {
	Type        string              `json:"_type"`
	Expires     string              `json:"expires"`
	Meta        map[string]metaFile `json:"meta"`
	SpecVersion string              `json:"spec_version"`
	Version     int64               `json:"version"`
}

type timestampSigned struct {
	Type    string              `json:"_type"`
	Expires string              `json:"expires"`
	Meta    map[string]metaFile `json:"meta"`
	// SignedAt is when the publisher signed: what a device without a clock takes as the earliest possible now.
	// It is a field of our own; other clients keep it for the signature and ignore it (TUF 4.1).
	SignedAt    string `json:"signed_at"`
	SpecVersion string `json:"spec_version"`
	Version     int64  `json:"version"`
}

// A metaFile pins a metadata file by version, length and hash, so that a device knows how much to expect (TUF 4.4).
type metaFile struct {
	Hashes  fileHashes `json:"hashes"`
	Length  int64      `json:"length"`
	Version int64      `json:"version"`
}
