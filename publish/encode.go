package publish

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// metadataBytesMax bounds a metadata file that is read back, in bytes: the publisher's own machine is trusted, but
// a file of another kind in the wrong place should be an error, not an exhausted memory.
const metadataBytesMax = 256 << 20

// encode is v as JSON with sorted keys and without white space. Map keys are sorted by the encoder, struct fields
// stand in order. The bytes are the canonical form too, unless a string holds a character that JSON must escape.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// canonical is what is signed: the canonical form of v as it will stand in the file.
func canonical(v any) ([]byte, error) {
	b, err := encode(v)
	if err != nil {
		return nil, err
	}
	whole, err := strict.Parse(b)
	if err != nil {
		return nil, err
	}
	return whole.Canonical()
}

// errForeign refuses a file that holds more, or other, than this program writes.
var errForeign = errors.New("holds something that this program did not write and would lose")

// decode reads a document that encode wrote. Reading and writing it again must give the same bytes: a file edited by
// hand or written by another program is refused rather than silently cut down to what is understood here.
func decode[T any](b []byte) (document[T], error) {
	var d document[T]
	if len(b) > metadataBytesMax {
		return d, fmt.Errorf("%d bytes, at most %d are read", len(b), metadataBytesMax)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, err
	}
	again, err := encode(d)
	if err != nil {
		return d, err
	}
	if !bytes.Equal(again, b) {
		return d, errForeign
	}
	return d, nil
}

// describe pins a metadata file's bytes for the role that lists it.
func describe(b []byte, version int64) metaFile {
	sum := sha256.Sum256(b)
	return metaFile{Hashes: fileHashes{SHA256: hex.EncodeToString(sum[:])}, Length: int64(len(b)), Version: version}
}

// formatTime rounds down to the second, as TUF metadata wants it.
func formatTime(t time.Time) string { return t.UTC().Format(timeFormat) }

func parseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeFormat, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("time %q is not YYYY-MM-DDTHH:MM:SSZ", s)
	}
	return t, nil
}
