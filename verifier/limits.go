package verifier

import "math"

// Bounds of what one document may hold (row L2 of docs/tuf-coverage.md). Before a threshold of signatures is
// checked, anybody may have written it; and after that, whoever may sign for a few paths. What is beyond a
// bound is refused (LimitExceeded), but for a key, which is merely unusable. Package strict has those of
// members and nesting.
const (
	// RoleNameBytesMax is how long a delegated role's name may be, in bytes: it is part of a URL and of a store's key.
	RoleNameBytesMax = 1024
	// KeyIDBytesMax is how long a key ID may be, in bytes. They are hashes, as a rule: 64 digits. Who has a
	// longer one signs nothing.
	KeyIDBytesMax = 4096
	// KeyBytesMax is how long an entry of a key map may be, in bytes, to be parsed. RSA with 8192 bits takes 1,500.
	KeyBytesMax = 16 << 10
	// PatternBytesMax is how long a path pattern may be, in bytes, as it was received: longer than the paths
	// that it is for.
	PatternBytesMax = 1024
	// PatternsMax bounds the path patterns and hash prefixes in one file: 16,384 hash bins with 8 prefixes each.
	PatternsMax = 1 << 17
	// DelegatedRolesMax bounds the roles in one file's delegations: the largest repositories have 16,384.
	DelegatedRolesMax = 1 << 15
	// MatchStepsMax bounds the characters that one search compares in holding its path against patterns, a
	// tenth of a second. Each of PatternsMax patterns may take 128.
	MatchStepsMax = 1 << 24
	// KeysParsedMax bounds the keys of delegated roles that one refresh and its searches parse, half a
	// second: a search that comes to a delegator parses the keys of each role that is trusted with its path.
	KeysParsedMax = 1 << 15
	// CustomBytesMax is how long a target's custom value may be, in bytes: it is kept as long as the target is on offer.
	CustomBytesMax = 1 << 20

	// signatureBytesMax is the longest signature that is tried, in bytes: SLH-DSA's longest but two.
	signatureBytesMax = 16 << 10
	keyIDRawMax       = 6*KeyIDBytesMax + 2 // each character may be written as an escape
	specVersionRawMax = 64

	// hashedFree and hashedTimes bound what the Ed25519 signatures of one document hash: each hashes all of
	// it. At any length 16 signatures are checked, and 256 of what is shorter than 128 KiB.
	hashedFree  = 32 << 20
	hashedTimes = 16
)

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
	// StatedSnapshotBytes, StatedBytes: the longest snapshot and the longest targets file accepted where
	// signed metadata does state the length. They bound memory and time against a stolen timestamp or
	// snapshot key: three times StatedBytes at the peak, since a device holds one such file at a time, and
	// its canonical form. 24 MiB are 100,000 targets, with room; 4 MiB a snapshot of 16,384 hash bins with
	// their hashes.
	StatedSnapshotBytes int64
	StatedBytes         int64
	// Signatures in one document, and key IDs in one role. More are refused before any is looked at, which bounds
	// the time for a forged file; real files carry a dozen.
	Signatures int
	// Keys in one document's key map. It bounds memory; a file with a key for each of its delegations has many.
	Keys int
	// SearchRoles: delegated roles that one search visits (TUF 5.6.7.1).
	SearchRoles int
	// SearchBytes: the files of all delegated roles that one search visits, in bytes, stored ones too; the
	// top-level targets role does not count. It bounds what who may sign for a few paths can make a device
	// read and keep.
	SearchBytes int64
	// CheckedBytes: the files of delegated roles whose signatures all searches of one refresh check, in
	// bytes. An unchanged large file, of which there is a receipt, does not count. It bounds the time that
	// many vendors together can take.
	CheckedBytes int64
	// Checks: signatures of targets roles, delegated ones too, that one refresh and its searches check; the
	// role that comes to the bound is the last. A search of 32 roles with two signatures each takes 64. A
	// check takes 0.1 ms with Ed25519, 1.2 ms with RSA of 8192 bits, 3 ms with ECDSA on P-521.
	Checks int
	// ReceiptBytes: from this length on, in bytes, a Receipt is kept beside a targets file, so that an
	// unchanged one is not verified twice.
	ReceiptBytes int64
	// PlainTargetNames: targets are kept under their plain path even though the repository uses consistent
	// snapshots (a layout of some object stores). Length and hashes are checked all the same.
	PlainTargetNames bool
}

// DefaultLimits admit every real repository that was measured, and a 100,000-target file when the snapshot states
// its length.
func DefaultLimits() Limits {
	return Limits{
		RootRotations:       256,
		HeldBytes:           16 << 20,
		RootBytes:           512_000,
		TimestampBytes:      16_384,
		SnapshotBytes:       2_000_000,
		TargetsBytes:        5_000_000,
		StatedSnapshotBytes: 4 << 20,
		StatedBytes:         24 << 20,
		Signatures:          256,
		Keys:                16_384,
		SearchRoles:         32,
		SearchBytes:         64 << 20,
		CheckedBytes:        96 << 20,
		Checks:              2048,
		ReceiptBytes:        64 << 10,
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
	fill(&l.StatedSnapshotBytes, d.StatedSnapshotBytes)
	fill(&l.StatedBytes, d.StatedBytes)
	fill(&l.Signatures, d.Signatures)
	fill(&l.Keys, d.Keys)
	fill(&l.SearchRoles, d.SearchRoles)
	fill(&l.SearchBytes, d.SearchBytes)
	fill(&l.CheckedBytes, d.CheckedBytes)
	fill(&l.Checks, d.Checks)
	fill(&l.ReceiptBytes, d.ReceiptBytes)
	return l
}

func fill[T int | int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
