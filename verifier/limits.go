package verifier

import "math"

// RoleNameBytesMax is how long a delegated role's name may be, in bytes. A file that names a longer one is refused
// (LimitExceeded): the name is part of a URL and of a store's key, and whoever may sign for a few paths chooses it.
const RoleNameBytesMax = 1024

// VersionMax is the highest version that metadata may carry: one below the largest int64, so that the next
// root's version can always be asked for.
const VersionMax = math.MaxInt64 - 1

// Limits bound what a refresh may cost. Zero fields take the value of DefaultLimits; negative ones admit nothing.
type Limits struct {
	// RootRotations: new roots accepted from the repository in one refresh (TUF 5.3.3). When the bound is
	// reached the refresh goes on with the last one, says so in RootBoundReached, and the next refresh continues
	// from there.
	RootRotations int
	// HeldBytes: roots that are held back in memory, in bytes, while a chain is rebuilt up to the highest root ever
	// trusted. A real root has a few thousand bytes; only a forged chain of huge ones comes near.
	HeldBytes int64
	// RootBytes, TimestampBytes: longest file accepted of a role whose length nothing states, in bytes
	// (TUF 5.3.3, 5.4.1). They bound what a mirror without any key can make a device read.
	RootBytes      int64
	TimestampBytes int64
	// SnapshotBytes, TargetsBytes: the same for files whose length the timestamp or the snapshot leaves out
	// (TUF 5.5.1, 5.6.1). TargetsBytes holds for each delegated role too.
	SnapshotBytes int64
	TargetsBytes  int64
	// StatedBytes: longest file accepted where signed metadata does state the length. It bounds memory against
	// a stolen timestamp or snapshot key: a device holds one such file at a time.
	StatedBytes int64
	// Signatures in one document, and key IDs in one role. More are refused before any is looked at, which bounds
	// the time for a forged file; real files carry a dozen.
	Signatures int
	// Keys in one document's key map. It bounds memory; a file with a key for each of its delegations has many.
	Keys int
	// SearchRoles: delegated roles that one search visits (TUF 5.6.7.1).
	SearchRoles int
	// SearchBytes: the files of all delegated roles that one search visits, in bytes, stored ones too; the top-level targets
	// role does not count. It bounds what who may sign for a few paths can make a device read and keep.
	SearchBytes int64
	// ReceiptBytes: from this length on, in bytes, a Receipt is kept beside a targets file, so that an unchanged one is not
	// verified twice.
	ReceiptBytes int64
	// PlainTargetNames: targets are kept under their plain path even though the repository uses consistent
	// snapshots (a layout of some object stores). Length and hashes are checked all the same.
	PlainTargetNames bool
}

// DefaultLimits admit every real repository that was measured, and a 100,000-target file when the snapshot states
// its length.
func DefaultLimits() Limits {
	return Limits{
		RootRotations:  256,
		HeldBytes:      16 << 20,
		RootBytes:      512_000,
		TimestampBytes: 16_384,
		SnapshotBytes:  2_000_000,
		TargetsBytes:   5_000_000,
		StatedBytes:    64 << 20,
		Signatures:     256,
		Keys:           16_384,
		SearchRoles:    32,
		SearchBytes:    64 << 20,
		ReceiptBytes:   64 << 10,
	}
}

// withDefaults fills the zero fields.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	fill(&l.RootRotations, d.RootRotations)
	fill(&l.HeldBytes, d.HeldBytes)
	fill(&l.RootBytes, d.RootBytes)
	fill(&l.TimestampBytes, d.TimestampBytes)
	fill(&l.SnapshotBytes, d.SnapshotBytes)
	fill(&l.TargetsBytes, d.TargetsBytes)
	fill(&l.StatedBytes, d.StatedBytes)
	fill(&l.Signatures, d.Signatures)
	fill(&l.Keys, d.Keys)
	fill(&l.SearchRoles, d.SearchRoles)
	fill(&l.SearchBytes, d.SearchBytes)
	fill(&l.ReceiptBytes, d.ReceiptBytes)
	return l
}

func fill[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
