package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Every value in the database is sealed: a version byte, a CRC-32C, the payload. The checksum covers the
// bucket's name and the key too, so that a page that came back from the wrong place is noticed.
//
// CRC-32C and not a hash: it finds every error burst up to 32 bits, which is what a failing flash cell or a torn
// sector makes, in four bytes and at memory speed on small processors. It is no defence against someone who
// writes to the directory on purpose; what the device trusts of the metadata is its signatures, checked again at
// each load. Files under meta/ are named by their SHA-256, which serves as their checksum.
//
// This layout is frozen: an older agent must be able to tell a newer version from damage.
const (
	valueVersion = 1
	valueHeader  = 1 + crc32.Size
)

// errDamaged: the bytes are not what was written. errNewer: they are, but a newer agent wrote them.
var (
	errDamaged = errors.New("damaged")
	errNewer   = errors.New("written by a newer agent")
)

// seal is the stored form of payload under key in bucket.
func seal(bucket string, key, payload []byte) []byte {
	value := make([]byte, valueHeader, valueHeader+len(payload))
	value[0] = valueVersion
	value = append(value, payload...)
	binary.BigEndian.PutUint32(value[1:], checksum(bucket, key, value))
	return value
}

// unseal returns a copy of the payload: bbolt's slices die with their transaction.
func unseal(bucket string, key, value []byte) ([]byte, error) {
	if len(value) < valueHeader {
		return nil, fmt.Errorf("value of %d bytes, expected %d or more: %w", len(value), valueHeader, errDamaged)
	}
	want := binary.BigEndian.Uint32(value[1:])
	if got := checksum(bucket, key, value); got != want {
		return nil, fmt.Errorf("checksum is %08x, expected %08x: %w", got, want, errDamaged)
	}
	if value[0] != valueVersion {
		return nil, fmt.Errorf("value version %d, expected %d: %w", value[0], valueVersion, errNewer)
	}
	return append([]byte{}, value[valueHeader:]...), nil
}

func checksum(bucket string, key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	var sizes [8]byte
	binary.BigEndian.PutUint32(sizes[:], uint32(len(bucket)))
	binary.BigEndian.PutUint32(sizes[4:], uint32(len(key)))
	sum := crc32.Update(0, table, sizes[:])
	for _, part := range [][]byte{[]byte(bucket), key, value[:1], value[valueHeader:]} {
		sum = crc32.Update(sum, table, part)
	}
	return sum
}
