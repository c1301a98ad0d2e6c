package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt trusts its file: a damaged page makes it panic, some of it in goroutines of its own where no guard
// reaches, and a cycle of pages makes it recurse until the stack ends. So every page that can be reached is
// checked here first, by plain reads: a bad sector is an error then, not a fault.
//
// The layout is bbolt's file format 2, in the machine's byte order.
const (
	pageSize   = 4096 // also where the machine's pages are larger, so that every device's file is alike
	pageHeader = 16   // id 8, flags 2, count 2, overflow 4
	pageDepth  = 32   // of trees and buckets; ours are 2 to 4 deep

	branchFlag   = 0x01
	leafFlag     = 0x02
	freelistFlag = 0x10
	bucketFlag   = 0x01 // of a leaf element

	noFreelist = ^uint64(0)
)

// A metaPage is one of the two roots of the file.
type metaPage struct{ root, freelist, pages, txid uint64 }

// checkPages reports as errDamaged what bbolt would trip over in a file of size bytes. With oneMeta true, one of
// the two meta pages is damaged: bbolt goes on from the other one, and the last commit may have been lost.
func checkPages(r io.ReaderAt, size int64) (oneMeta bool, err error) {
	m, oneMeta, err := newestMeta(r)
	if err != nil {
		return oneMeta, err
	}
	// What is beyond the end of a mapped file can't be read: a fault, not an error.
	if m.pages < 4 || m.pages > uint64(size)/pageSize {
		return oneMeta, fmt.Errorf("file of %d bytes, expected %d pages of %d bytes: %w", size, m.pages, pageSize, errDamaged)
	}
	c := &pageCheck{r: r, pages: m.pages, seen: make([]bool, m.pages)}
	if err := c.tree(m.root, 0, nil, nil); err != nil {
		return oneMeta, err
	}
	if m.freelist == noFreelist {
		return oneMeta, nil
	}
	return oneMeta, c.freelist(m.freelist)
}

// newestMeta chooses the root that bbolt will choose.
func newestMeta(r io.ReaderAt) (m metaPage, only bool, err error) {
	var found []metaPage
	for id := range int64(2) {
		b := make([]byte, pageSize)
		if n, err := r.ReadAt(b, id*pageSize); n < pageSize {
			return m, false, fmt.Errorf("meta page %d: %w", id, damaged(err))
		}
		if m, ok := parseMeta(b[pageHeader:]); ok {
			found = append(found, m)
		}
	}
	switch {
	case len(found) == 0:
		return m, false, fmt.Errorf("no valid meta page: %w", errDamaged)
	case len(found) == 2 && found[1].txid > found[0].txid:
		return found[1], false, nil
	}
	return found[0], len(found) == 1, nil
}

// parseMeta: magic 4, version 4, page size 4, flags 4, root page 8, sequence 8, freelist 8, pages 8, txid 8,
// FNV-1a of the bytes before it 8.
func parseMeta(b []byte) (metaPage, bool) {
	u32, u64 := binary.NativeEndian.Uint32, binary.NativeEndian.Uint64
	h := fnv.New64a()
	h.Write(b[:56])
	ok := u32(b) == 0xED0CDAED && u32(b[4:]) == 2 && u32(b[8:]) == pageSize && u64(b[56:]) == h.Sum64()
	return metaPage{root: u64(b[16:]), freelist: u64(b[32:]), pages: u64(b[40:]), txid: u64(b[48:])}, ok
}

type pageCheck struct {
	r     io.ReaderAt
	pages uint64
	seen  []bool
}

// read reads a page with its overflow pages, each of which may be part of only one.
func (c *pageCheck) read(id uint64) ([]byte, error) {
	if id < 2 || id >= c.pages {
		return nil, fmt.Errorf("page %d is not within 2 to %d: %w", id, c.pages-1, errDamaged)
	}
	head := make([]byte, pageHeader)
	if _, err := c.r.ReadAt(head, int64(id)*pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, damaged(err))
	}
	n := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	if binary.NativeEndian.Uint64(head) != id || n > c.pages-id {
		return nil, fmt.Errorf("page %d has a wrong header: %w", id, errDamaged)
	}
	for i := id; i < id+n; i++ {
		if c.seen[i] {
			return nil, fmt.Errorf("page %d is used twice: %w", i, errDamaged)
		}
		c.seen[i] = true
	}
	b := make([]byte, n*pageSize)
	if _, err := c.r.ReadAt(b, int64(id)*pageSize); err != nil {
		return nil, fmt.Errorf("page %d: %w", id, damaged(err))
	}
	return b, nil
}

// tree checks the pages below id, whose keys are at least min and below max where these are not nil.
func (c *pageCheck) tree(id uint64, depth int, min, max []byte) error {
	b, err := c.read(id)
	if err == nil {
		err = c.page(b, depth, min, max)
	}
	if err != nil {
		return fmt.Errorf("in page %d: %w", id, err)
	}
	return nil
}

// page checks one page, or an inline bucket's, which has the same form.
func (c *pageCheck) page(b []byte, depth int, min, max []byte) error {
	if depth > pageDepth || len(b) < pageHeader {
		return fmt.Errorf("nested too deep, or cut short: %w", errDamaged)
	}
	flags, count := binary.NativeEndian.Uint16(b[8:]), int(binary.NativeEndian.Uint16(b[10:]))
	if flags != branchFlag && flags != leafFlag { // also where no element follows: bbolt panics at the page's kind alone
		return fmt.Errorf("page with flags %#x: %w", flags, errDamaged)
	}
	if pageHeader+count*elementSize > len(b) {
		return fmt.Errorf("%d elements in %d bytes: %w", count, len(b), errDamaged)
	}
	var list []element
	for i := range count {
		e, err := parseElement(b, pageHeader+i*elementSize, flags)
		if err != nil {
			return err
		}
		if i > 0 && bytes.Compare(list[i-1].key, e.key) >= 0 || bytes.Compare(e.key, min) < 0 ||
			max != nil && bytes.Compare(e.key, max) >= 0 {
			return fmt.Errorf("element %d is out of order: %w", i, errDamaged)
		}
		list = append(list, e)
	}
	return c.below(list, flags, depth, max)
}

// below follows the elements of a page.
func (c *pageCheck) below(list []element, flags uint16, depth int, max []byte) error {
	if flags == branchFlag && len(list) == 0 {
		return fmt.Errorf("empty branch page: %w", errDamaged)
	}
	for i, e := range list {
		var err error
		switch {
		case flags == branchFlag:
			upper := max
			if i+1 < len(list) {
				upper = list[i+1].key
			}
			err = c.tree(e.child, depth+1, e.key, upper)
		case e.bucket && len(e.value) < 16:
			err = fmt.Errorf("bucket of %d bytes: %w", len(e.value), errDamaged)
		case e.bucket && binary.NativeEndian.Uint64(e.value) != 0:
			err = c.tree(binary.NativeEndian.Uint64(e.value), depth+1, nil, nil)
		case e.bucket:
			err = c.inline(e.value[16:], depth+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *pageCheck) inline(b []byte, depth int) error {
	if len(b) < pageHeader || binary.NativeEndian.Uint16(b[8:]) != leafFlag {
		return fmt.Errorf("inline bucket without a leaf page: %w", errDamaged)
	}
	return c.page(b, depth, nil, nil)
}

// An element is one entry of a branch or leaf page.
type element struct {
	key, value []byte
	child      uint64
	bucket     bool
}

// elementSize is the same for both kinds: position 4, key size 4, page 8; or flags 4, position 4, key size 4,
// value size 4. Positions count from the element itself.
const elementSize = 16

func parseElement(b []byte, at int, flags uint16) (element, error) {
	u32 := func(off int) uint64 { return uint64(binary.NativeEndian.Uint32(b[at+off:])) }
	var e element
	var pos, keySize, valueSize uint64
	if flags == branchFlag {
		pos, keySize, e.child = u32(0), u32(4), binary.NativeEndian.Uint64(b[at+8:])
	} else {
		pos, keySize, valueSize = u32(4), u32(8), u32(12)
		e.bucket = u32(0) == bucketFlag
		if u32(0) > bucketFlag {
			return e, fmt.Errorf("element with flags %#x: %w", u32(0), errDamaged)
		}
	}
	start := uint64(at) + pos
	if keySize == 0 || start+keySize+valueSize > uint64(len(b)) {
		return e, fmt.Errorf("element beyond its page: %w", errDamaged)
	}
	e.key, e.value = b[start:start+keySize], b[start+keySize:start+keySize+valueSize]
	return e, nil
}

// freelist checks the list of free pages, for files that another program compacted: ours keep none.
func (c *pageCheck) freelist(id uint64) error {
	b, err := c.read(id)
	if err != nil {
		return err
	}
	if binary.NativeEndian.Uint16(b[8:]) != freelistFlag {
		return fmt.Errorf("page %d is no freelist: %w", id, errDamaged)
	}
	count, list := uint64(binary.NativeEndian.Uint16(b[10:])), b[pageHeader:]
	if count == 0xFFFF {
		count, list = binary.NativeEndian.Uint64(list), list[8:]
	}
	if count > uint64(len(list))/8 {
		return fmt.Errorf("freelist of %d pages in %d bytes: %w", count, len(list), errDamaged)
	}
	for i := range count {
		free := binary.NativeEndian.Uint64(list[i*8:])
		if free < 2 || free >= c.pages || c.seen[free] {
			return fmt.Errorf("page %d is free and in use: %w", free, errDamaged)
		}
		c.seen[free] = true
	}
	return nil
}

// damaged marks a read error: what can't be read is as good as damaged.
func damaged(err error) error {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", err, errDamaged)
}
