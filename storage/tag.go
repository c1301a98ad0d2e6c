package storage

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"unicode/utf8"
)

// A tag is what is kept beside a partial: how many bytes are durable, in which boot bytes were last written behind
// them, and the validator that came with them.
//
// The file's own size can't say that: after a power cut it may count bytes that never reached the disk, and a
// download that went on after them would fail its hash only at the very end. So a flush first makes the bytes
// durable and then writes their number here, in place and durable too; what follows that number in the partial
// is cut off when it is opened.
//
// While the boot is still the same, though, no power was lost: what a process that was killed had handed to the
// kernel is all there, in order, and is made durable when the partial is opened instead of being fetched again. A
// boot stands in the tag only while all bytes behind the durable ones were written one after the other since it
// was put there.
type tag struct {
	durable   int64
	boot      bootMark
	validator string
}

// A bootMark tells boots apart; the zero mark is of none.
type bootMark [16]byte

// markBoot makes a mark of a boot ID, and the zero mark of an empty one.
func markBoot(id string) bootMark {
	if id == "" {
		return bootMark{}
	}
	sum := sha256.Sum256([]byte(id))
	return bootMark(sum[:16])
}

const (
	// tagSlot holds the largest tag, and is a block of its own on most devices.
	tagSlot = 4096
	// validatorBytesMax bounds an ETag; longer ones are not kept, which only costs a download from the start.
	validatorBytesMax = 1024
	tagVersion        = 1
	// tagHeader is what stands before the validator.
	tagHeader = 1 + 8 + 16
)

// version 1 | durable 8 | boot 16 | validator
func (t tag) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{tagVersion}, uint64(t.durable))
	b = append(b, t.boot[:]...)
	return append(b, t.validator...)
}

func decodeTag(b []byte) (tag, error) {
	if len(b) < tagHeader || len(b) > tagHeader+validatorBytesMax || b[0] != tagVersion || !utf8.Valid(b[tagHeader:]) {
		return tag{}, fmt.Errorf("tag of %d bytes: %w", len(b), errDamaged)
	}
	n := binary.BigEndian.Uint64(b[1:])
	if n > math.MaxInt64 {
		return tag{}, fmt.Errorf("tag of a partial of %d bytes: %w", n, errDamaged)
	}
	return tag{durable: int64(n), boot: bootMark(b[9:tagHeader]), validator: string(b[tagHeader:])}, nil
}

// openTag opens a partial's tag, making it where it is absent or damaged: the zero tag is always true.
func openTag(d *dir, name string) (*slotFile, tag, error) {
	slots, payload, err := openSlots(d, name, tagSlot, os.O_RDWR, func(payload []byte) error {
		_, err := decodeTag(payload)
		return err
	})
	if err == nil {
		t, err := decodeTag(payload)
		return slots, t, err
	}
	if !isAbsent(err) && !isDamaged(err) {
		return nil, tag{}, err
	}
	slots, err = createSlots(d, name, tagSlot, 1, tag{}.encode())
	if err != nil {
		return nil, tag{}, err
	}
	if err := d.sync(); err != nil {
		slots.close()
		return nil, tag{}, err
	}
	return slots, tag{}, nil
}

// keepable returns v, or nothing where v can't be kept.
func keepable(v string) string {
	if len(v) > validatorBytesMax || !utf8.ValidString(v) {
		return ""
	}
	return v
}
