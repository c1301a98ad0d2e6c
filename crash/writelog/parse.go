package writelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of a log. All that is read beyond them is refused.
const (
	// EntriesMax bounds the requests of one log.
	EntriesMax = 1 << 20
	// sectorBytesMax is the largest sector that a disk has; the smallest is sectorBytesMin.
	sectorBytesMax, sectorBytesMin = 4096, 512
)

// The format, all little-endian. Super block: magic, version, number of entries (64 bits each), bytes per sector (32).
// Entry: first sector, number of sectors, flags, bytes of the mark (64 bits each); a mark's text follows in the same
// sector.
const (
	magic      = 0x6a736677736872
	version    = 1
	superBytes = 28
	entryBytes = 32
)

// ErrMalformed is wrapped by all errors of Parse.
var ErrMalformed = errors.New("malformed write log")

// Flags say what a request is, as in Linux's dm-log-writes.
type Flags uint64

// The flags. Without any of them a request is an ordinary write.
const (
	// Flush makes durable what was completed before; data of the same request come after it.
	Flush Flags = 1 << iota
	// FUA makes the request's own data durable before it completes.
	FUA
	// Discard gives the sectors up; they read as zeros here. It has no data.
	Discard
	// Mark is a note of whoever wrote the log.
	Mark
	// Metadata is a hint of the file system.
	Metadata

	known = Flush | FUA | Discard | Mark | Metadata
)

// An Entry is one request that the disk completed.
type Entry struct {
	Sector  int64 // the first one
	Sectors int64 // how many
	Flags   Flags
	Data    []byte // Sectors long, but for a discard; part of what was given to Parse
	Mark    string
}

// writes tells whether the entry changes the disk.
func (e Entry) writes() bool { return e.Sectors > 0 && e.Flags&Mark == 0 }

// A Log is a parsed log.
type Log struct {
	SectorBytes int
	Entries     []Entry
}

// Parse reads a log of a disk of diskBytes. Entries beyond the disk, unknown flags and logs that end in the middle of
// an entry are refused; what lies behind the last entry that the superblock counts is not looked at. Its errors wrap
// ErrMalformed.
func Parse(raw []byte, diskBytes int64) (*Log, error) {
	entries, sectorBytes, err := parseSuper(raw)
	if err != nil {
		return nil, fmt.Errorf("superblock: %w", err)
	}
	l := &Log{SectorBytes: sectorBytes}
	rest := raw[sectorBytes:]
	for n := range entries {
		var e Entry
		if e, rest, err = parseEntry(rest, sectorBytes, diskBytes/int64(sectorBytes)); err != nil {
			return nil, fmt.Errorf("entry %d of %d: %w", n, entries, err)
		}
		l.Entries = append(l.Entries, e)
	}
	return l, nil
}

func parseSuper(raw []byte) (entries, sectorBytes int, err error) {
	if len(raw) < superBytes {
		return 0, 0, fmt.Errorf("%w: %d bytes, expected %d or more", ErrMalformed, len(raw), superBytes)
	}
	word := binary.LittleEndian.Uint64
	if m, v := word(raw), word(raw[8:]); m != magic || v != version {
		return 0, 0, fmt.Errorf("%w: magic %#x, version %d, expected %#x, %d", ErrMalformed, m, v, uint64(magic), version)
	}
	count, size := word(raw[16:]), binary.LittleEndian.Uint32(raw[24:])
	if size < sectorBytesMin || size > sectorBytesMax || size&(size-1) != 0 {
		return 0, 0, fmt.Errorf("%w: sectors of %d bytes, expected a power of two from %d to %d",
			ErrMalformed, size, sectorBytesMin, sectorBytesMax)
	}
	// Each entry takes at least a sector.
	if room := uint64(len(raw)) / uint64(size); count > EntriesMax || count+1 > room {
		return 0, 0, fmt.Errorf("%w: %d entries in %d sectors, at most %d are read", ErrMalformed, count, room, EntriesMax)
	}
	return int(count), int(size), nil
}

func parseEntry(raw []byte, sectorBytes int, diskSectors int64) (e Entry, rest []byte, err error) {
	if len(raw) < sectorBytes {
		return e, nil, fmt.Errorf("%w: %d bytes are left, expected a sector", ErrMalformed, len(raw))
	}
	word := binary.LittleEndian.Uint64
	sector, sectors, flags, markBytes := word(raw), word(raw[8:]), Flags(word(raw[16:])), word(raw[24:])
	if flags&^known != 0 {
		return e, nil, fmt.Errorf("%w: flags %#x, known are %#x", ErrMalformed, uint64(flags), uint64(known))
	}
	if markBytes > uint64(sectorBytes-entryBytes) {
		return e, nil, fmt.Errorf("%w: a mark of %d bytes, at most %d fit", ErrMalformed, markBytes, sectorBytes-entryBytes)
	}
	disk := uint64(diskSectors)
	if sectors > disk || sector > disk-sectors {
		return e, nil, fmt.Errorf("%w: %d sectors at %d of a disk with %d", ErrMalformed, sectors, sector, disk)
	}
	e = Entry{Sector: int64(sector), Sectors: int64(sectors), Flags: flags}
	e.Mark = string(bytes.TrimRight(raw[entryBytes:entryBytes+int(markBytes)], "\x00"))
	rest = raw[sectorBytes:]
	if flags&Discard != 0 {
		return e, rest, nil
	}
	size := e.Sectors * int64(sectorBytes)
	if size > int64(len(rest)) {
		return e, nil, fmt.Errorf("%w: %d bytes of data, %d are left", ErrMalformed, size, len(rest))
	}
	e.Data = rest[:size]
	return e, rest[size:], nil
}
