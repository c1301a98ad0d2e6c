// Package release is the signed "ota" object in a target's custom metadata: what a release is, beyond its bytes.
// The agent reads it, publish writes it.
package release

import "time"

// Info is the custom.ota object. A repository without one still works: the hash is the release.
type Info struct {
	// Version is for people: 1 to 64 printable characters.
	Version string `json:"version,omitempty"`
	// RollbackIndex is the integer floor, 0 to 2^53-1; nil where the release has none.
	RollbackIndex *int64 `json:"rollback_index,omitempty"`
	// Hardware lists the hardware names that may install the release; empty: any.
	Hardware []string `json:"hardware,omitempty"`
	// Rollout phases the release over a fleet; nil: at once.
	Rollout *Rollout `json:"rollout,omitempty"`
	// Urgent skips the window gate where the component's config allows it.
	Urgent bool `json:"urgent,omitempty"`
	// Requires names other components that must have reached an index first.
	Requires []Requirement `json:"requires,omitempty"`
	// Notes are for people: at most 4,096 bytes.
	Notes string `json:"notes,omitempty"`
}

// A Rollout admits a device at Start + Duration × its place in [0,1).
type Rollout struct {
	Start    time.Time     // JSON "start": YYYY-MM-DDTHH:MM:SSZ
	Duration time.Duration // JSON "duration": whole seconds
}

// A Requirement is another component at a rollback index or above.
type Requirement struct {
	Component     string `json:"component"`
	RollbackIndex int64  `json:"rollback_index"`
}
