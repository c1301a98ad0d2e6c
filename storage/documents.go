package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"go.etcd.io/bbolt"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

const (
	// inlineBytesMax is the largest document that lies in the database. bbolt writes a value again with each
	// neighbour in its bucket; larger documents are files of their own.
	inlineBytesMax = 64 << 10

	formInline = 0 // form 1 | bytes
	formFile   = 1 // form 1 | SHA-256 32 | length 8

	fileValueBytes = 1 + sha256.Size + 8
)

// locate is where a document lies: the version goes first, so that the chain of roots is in order.
func locate(k verifier.Key) (bucket string, key []byte, err error) {
	switch {
	case k.Role == "" || len(k.Role) > verifier.RoleNameBytesMax:
		return "", nil, beyond("store the metadata of role %.40q: its name has %d bytes, expected 1 to %d",
			k.Role, len(k.Role), verifier.RoleNameBytesMax)
	case k.Kind == verifier.Receipt:
		bucket = bucketReceipts
	case k.Kind == verifier.Metadata && k.Role == verifier.Root:
		bucket = bucketChain
	case k.Kind == verifier.Metadata:
		bucket = bucketMetadata
	default:
		return "", nil, refuse(agent.ReasonUnsupported, "store a document of kind %d, expected metadata or receipt", k.Kind)
	}
	return bucket, append(binary.BigEndian.AppendUint64(nil, uint64(k.Version)), k.Role...), nil
}

// documentBuckets hold documents.
func documentBuckets() []string { return []string{bucketMetadata, bucketChain, bucketReceipts} }

// delegated lists the documents of delegated roles, damaged or not.
func delegated(tx *bbolt.Tx) []verifier.Key {
	return delegatedIn(tx, bucketReceipts, verifier.Receipt, delegatedIn(tx, bucketMetadata, verifier.Metadata, nil))
}

func delegatedIn(tx *bbolt.Tx, bucket string, kind verifier.Kind, keys []verifier.Key) []verifier.Key {
	version := make([]byte, 8) // 0: only roots have others
	c := tx.Bucket([]byte(bucket)).Cursor()
	for key, _ := c.Seek(version); bytes.HasPrefix(key, version); key, _ = c.Next() {
		k := verifier.Key{Role: string(key[len(version):]), Kind: kind}
		if k.Role != "" && len(k.Role) <= verifier.RoleNameBytesMax && k.Delegated() {
			keys = append(keys, k)
		}
	}
	return keys
}

// encodeDocument is a document's value. A large one also needs its file.
func encodeDocument(b []byte) (value []byte, blob *blob) {
	if len(b) <= inlineBytesMax {
		return append([]byte{formInline}, b...), nil
	}
	blob = newBlob(b)
	value = append([]byte{formFile}, blob.sum[:]...)
	return binary.BigEndian.AppendUint64(value, uint64(len(b))), blob
}

// A blob is a large document's file: meta/SHA256.
type blob struct {
	sum    [sha256.Size]byte
	length int64
	bytes  []byte // nil where only the reference is known
}

func newBlob(b []byte) *blob { return &blob{sum: sha256.Sum256(b), length: int64(len(b)), bytes: b} }

func (b *blob) name() string { return hex.EncodeToString(b.sum[:]) }

// decodeDocument yields the bytes of a small document, or the reference to a large one.
func decodeDocument(value []byte) ([]byte, *blob, error) {
	switch {
	case len(value) > 0 && value[0] == formInline:
		return value[1:], nil, nil
	case len(value) == fileValueBytes && value[0] == formFile:
		b := &blob{sum: [sha256.Size]byte(value[1:]), length: int64(binary.BigEndian.Uint64(value[1+sha256.Size:]))}
		if b.length > inlineBytesMax {
			return nil, b, nil
		}
	}
	return nil, nil, fmt.Errorf("document value of %d bytes: %w", len(value), errDamaged)
}

// Document reads a document. What is damaged, or was written in a form that only a newer agent knows, is
// agent.ErrAbsent: the repository has it too. A database that can't be read any more is an error, not absence.
func (s *Store) Document(k verifier.Key) ([]byte, error) {
	var got []byte
	err := s.document(k, func(inline []byte, large *blob) (err error) {
		if got = inline; large != nil {
			got, err = s.readBlob(large)
		}
		return err
	})
	return got, err
}

// DocumentFile is Document as a stream, with its length: for whoever hands it on and verifies it elsewhere. A
// large file is not held in memory, and its hash is not looked at.
func (s *Store) DocumentFile(k verifier.Key) (io.ReadCloser, int64, error) {
	var r io.ReadCloser
	var length int64
	err := s.document(k, func(inline []byte, large *blob) error {
		r, length = io.NopCloser(bytes.NewReader(inline)), int64(len(inline))
		if large == nil {
			return nil
		}
		f, err := s.openBlob(large)
		r, length = f, large.length
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return r, length, nil
}

// document finds a document, and lets read see its bytes or the reference to its file.
func (s *Store) document(k verifier.Key, read func(inline []byte, large *blob) error) error {
	bucket, key, err := locate(k)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	act := fmt.Sprintf("read the metadata of role %q", k.Role)
	var value []byte
	err = s.db.view(func(tx *bbolt.Tx) error {
		value, err = get(tx, bucket, key)
		return err
	})
	if s.db.dead != nil {
		return s.failed(act, err)
	}
	if errors.Is(err, errNewer) || errors.Is(err, errDamaged) || err == nil && value == nil {
		return agent.ErrAbsent
	}
	if err != nil {
		return problem(act, err)
	}
	inline, large, err := decodeDocument(value)
	if err == nil {
		err = read(inline, large)
	}
	if errors.Is(err, errDamaged) || isAbsent(err) {
		return agent.ErrAbsent
	}
	return problem(act, err)
}

// readBlob reads a large document's file, which is errDamaged when its bytes are not those it is named by.
func (s *Store) readBlob(b *blob) ([]byte, error) {
	f, err := s.openBlob(b)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	got := make([]byte, b.length)
	if _, err := io.ReadFull(f, got); err != nil {
		return nil, damaged(err)
	}
	if sha256.Sum256(got) != b.sum {
		return nil, fmt.Errorf("%s: hash differs: %w", f.File.Name(), errDamaged)
	}
	return got, nil
}

// holds reports whether b's file is there, whole. Reading it back is cheaper than writing it again, and a
// damaged one is found. A second copy of it in memory would be a third of what a large document may cost.
func (s *Store) holds(b *blob) bool {
	f, err := s.openBlob(b)
	if err != nil {
		return false
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.CopyBuffer(h, struct{ io.Reader }{f}, make([]byte, 64<<10))
	return err == nil && n == b.length && [sha256.Size]byte(h.Sum(nil)) == b.sum
}

// openBlob opens a large document's file, if it has the right length.
func (s *Store) openBlob(b *blob) (*file, error) {
	if s.meta == nil {
		return nil, os.ErrNotExist
	}
	f, err := s.meta.open(b.name(), os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	size, err := f.size()
	if err == nil && size != b.length {
		err = fmt.Errorf("%s has %d bytes, expected %d: %w", f.File.Name(), size, b.length, errDamaged)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// sweep removes what no document refers to: files of replaced documents, and those that a crash left behind
// half written or not yet committed. An orphan that comes back after a power cut is swept next time.
func (s *Store) sweep() error {
	for _, name := range []string{databaseName + tempSuffix, floorsName + tempSuffix} {
		if err := s.dir.remove(name); err != nil {
			return err
		}
	}
	entries, err := s.meta.entries()
	if err != nil || len(entries) == 0 {
		return err
	}
	used := map[string]bool{}
	if err := s.db.view(func(tx *bbolt.Tx) error { return references(tx, used) }); err != nil {
		return err
	}
	for _, e := range entries {
		if used[e.Name()] || e.IsDir() {
			continue
		}
		if err := s.settle(); err != nil { // else a power cut brings back the document that this was
			return err
		}
		if err := s.meta.remove(e.Name()); err != nil {
			return err
		}
	}
	return nil
}

// references collects the names of the files that documents lie in. What is damaged refers to nothing: it will
// be fetched again.
func references(tx *bbolt.Tx, used map[string]bool) error {
	for _, bucket := range documentBuckets() {
		err := tx.Bucket([]byte(bucket)).ForEach(func(k, raw []byte) error {
			value, err := unseal(bucket, k, raw)
			if err != nil {
				return nil
			}
			if _, b, err := decodeDocument(value); err == nil && b != nil {
				used[b.name()] = true
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
