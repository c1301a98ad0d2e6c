package storage

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"unicode/utf8"

	"github.com/ota-agent/ota-agent/agent"
)

// A tag is what is kept beside a partial: how many bytes are durable, and the validator that came with them.
//
// The file's own size can't say that: after a power cut it may count bytes that never reached the disk, and a
// download that went on after them would fail its hash only at the very end. So a flush first makes the bytes
// durable and then writes their number here, in place and durable too; what follows that number in the partial
// is cut off when it is opened.
type tag struct {
	durable   int64
	validator string
}

const (
	// tagSlot holds the largest tag, and is a block of its own on most devices.
	tagSlot = 4096
	// validatorBytesMax bounds an ETag; longer ones are not kept, which only costs a download from the start.
	validatorBytesMax = 1024
	tagVersion        = 1
)

// version 1 | durable 8 | validator
func (t tag) encode() []byte {
	b := binary.BigEndian.AppendUint64([]byte{tagVersion}, uint64(t.durable))
	return append(b, t.validator...)
}

func decodeTag(b []byte) (tag, error) {
	if len(b) < 9 || len(b) > 9+validatorBytesMax || b[0] != tagVersion || !utf8.Valid(b[9:]) {
		return tag{}, fmt.Errorf("tag of %d bytes: %w", len(b), errDamaged)
	}
	n := binary.BigEndian.Uint64(b[1:])
	if n > math.MaxInt64 {
		return tag{}, fmt.Errorf("tag of a partial of %d bytes: %w", n, errDamaged)
	}
	return tag{durable: int64(n), validator: string(b[9:])}, nil
}

// openTag opens a partial's tag, making it where it is absent or damaged: the zero tag is always true.
func openTag(d *dir, name string) (*slotFile, tag, error) {
	slots, payload, err := openSlots(d, name, tagSlot, os.O_RDWR)
	if err == nil {
		t, terr := decodeTag(payload)
		if terr == nil {
			return slots, t, nil
		}
		slots.close()
		err = terr
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

func checkValidator(v string) error {
	if len(v) > validatorBytesMax || !utf8.ValidString(v) {
		return refuse(agent.ReasonLimit, "keep a validator of %d bytes: expected UTF-8 of at most %d", len(v), validatorBytesMax)
	}
	return nil
}
