package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A slotFile holds one small record in two slots that are written in turn, in place: whichever instant the
// power goes, one of them is whole. There is no rename, and on a file system that overwrites in place no new block, so that a
// full disk can't stop it there.
//
// A record: magic, sequence number, payload length, CRC-32C over these and the payload; big-endian. The valid
// one with the higher number counts. Only what is used of a slot is ever written.
type slotFile struct {
	f        *file
	slotSize int64
	seq      uint64 // of the record that counts; 0: none yet
}

const (
	slotHeader = 24
	slotMagic  = "otaslot1"
)

// encodeSlot is a record's stored form.
func encodeSlot(seq uint64, payload []byte) []byte {
	b := make([]byte, slotHeader, slotHeader+len(payload))
	copy(b, slotMagic)
	binary.BigEndian.PutUint64(b[8:], seq)
	binary.BigEndian.PutUint32(b[16:], uint32(len(payload)))
	b = append(b, payload...)
	binary.BigEndian.PutUint32(b[20:], slotChecksum(b))
	return b
}

// decodeSlot reads one slot. The payload is part of b.
func decodeSlot(b []byte) (seq uint64, payload []byte, err error) {
	if len(b) < slotHeader || string(b[:8]) != slotMagic {
		return 0, nil, fmt.Errorf("no record begins here: %w", errDamaged)
	}
	n := binary.BigEndian.Uint32(b[16:])
	if uint64(n) > uint64(len(b)-slotHeader) {
		return 0, nil, fmt.Errorf("record of %d bytes in a slot of %d: %w", n, len(b), errDamaged)
	}
	b = b[:slotHeader+int(n)]
	if binary.BigEndian.Uint32(b[20:]) != slotChecksum(b) {
		return 0, nil, fmt.Errorf("record checksum differs: %w", errDamaged)
	}
	seq = binary.BigEndian.Uint64(b[8:])
	if seq == 0 {
		return 0, nil, fmt.Errorf("record number 0: %w", errDamaged)
	}
	return seq, b[slotHeader:], nil
}

func slotChecksum(record []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Update(0, table, record[:20]), table, record[slotHeader:])
}

// openSlots opens an existing slot file and reads the record that counts. Without a valid one, err is
// errDamaged and the returned file is nil. sound is what payloads must pass to be valid.
func openSlots(d *dir, name string, slotSize int64, flag int, sound func(payload []byte) error) (*slotFile, []byte, error) {
	f, err := d.open(name, flag)
	if err != nil {
		return nil, nil, err
	}
	s := &slotFile{f: f, slotSize: slotSize}
	payload, err := s.read(sound)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return s, payload, nil
}

// createSlots makes a slot file whose first record, number seq, is payload, with all its blocks written: overwriting them
// later allocates nothing. It is durable, but for its name, which is the caller's to put in place.
func createSlots(d *dir, name string, slotSize int64, seq uint64, payload []byte) (*slotFile, error) {
	if err := d.remove(name); err != nil {
		return nil, err
	}
	f, err := d.create(name)
	if err != nil {
		return nil, err
	}
	whole := make([]byte, 2*slotSize)
	copy(whole[int64(seq%2)*slotSize:], encodeSlot(seq, payload))
	err = f.writeAt(whole, 0)
	if err == nil {
		err = f.sync()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &slotFile{f: f, slotSize: slotSize, seq: seq}, nil
}

// read finds the record that counts.
func (s *slotFile) read(sound func(payload []byte) error) ([]byte, error) {
	var newest []byte
	var failed []error
	for i := range int64(2) {
		seq, payload, err := s.readSlot(i * s.slotSize)
		if err == nil {
			err = sound(payload)
		}
		if err != nil {
			failed = append(failed, err)
		} else if seq > s.seq {
			s.seq, newest = seq, payload
		}
	}
	if s.seq == 0 {
		return nil, fmt.Errorf("%s: no valid record: %w", s.f.Name(), errors.Join(append(failed, errDamaged)...))
	}
	return newest, nil
}

// readSlot reads as much of a slot as its header says is used.
func (s *slotFile) readSlot(off int64) (seq uint64, payload []byte, err error) {
	head := make([]byte, slotHeader)
	if _, err := s.f.ReadAt(head, off); err != nil {
		return 0, nil, err
	}
	n := int64(binary.BigEndian.Uint32(head[16:]))
	if n > s.slotSize-slotHeader {
		return 0, nil, fmt.Errorf("record of %d bytes in a slot of %d: %w", n, s.slotSize, errDamaged)
	}
	record := make([]byte, slotHeader+n)
	if _, err := s.f.ReadAt(record, off); err != nil {
		return 0, nil, err
	}
	return decodeSlot(record)
}

// write makes payload the record that counts. After an error the outcome is unknown; it can be repeated then, and writes the
// same slot again.
func (s *slotFile) write(payload []byte) error {
	if int64(len(payload)) > s.slotSize-slotHeader {
		return fmt.Errorf("%s: record of %d bytes, expected at most %d", s.f.Name(), len(payload), s.slotSize-slotHeader)
	}
	if err := s.put(s.seq+1, payload); err != nil {
		return err
	}
	s.seq++
	return nil
}

// rewrite makes the record that counts durable, whoever wrote it and whatever became of that; payload is its own.
func (s *slotFile) rewrite(payload []byte) error { return s.put(s.seq, payload) }

func (s *slotFile) put(seq uint64, payload []byte) error {
	if err := s.f.writeAt(encodeSlot(seq, payload), int64(seq%2)*s.slotSize); err != nil {
		return err
	}
	return s.f.dataSync()
}

func (s *slotFile) close() error { return s.f.Close() }
