package install

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ota-agent/ota-agent/verifier"
)

// errOtherHash says that a slot does not hold the release's image.
var errOtherHash = errors.New("the slot holds something else")

// checkHashes judges the answer of the verify verb: a line "sha256=HEX", or "sha512=HEX" for a target that lists
// only SHA-512. At least one hash that the target lists must be there, and each one that is must be the target's.
func checkHashes(answer []byte, t verifier.Target) error {
	values, err := parseLines(answer)
	if err != nil {
		return fmt.Errorf("malformed answer: %w", err)
	}
	compared := 0
	for _, h := range []struct {
		key  string
		want []byte
	}{{"sha256", t.SHA256}, {"sha512", t.SHA512}} {
		value, ok := values[h.key]
		if !ok || len(h.want) == 0 {
			continue
		}
		got, err := hex.DecodeString(value)
		if err != nil || len(got) != len(h.want) {
			return fmt.Errorf("malformed answer: %s=%s: expected %d hex digits", h.key, quoted(value), 2*len(h.want))
		}
		if !bytes.Equal(got, h.want) {
			return fmt.Errorf("%w: expected %s %x, seen %x", errOtherHash, h.key, h.want, got)
		}
		compared++
	}
	if compared == 0 {
		return errors.New("malformed answer: expected a line sha256=HEX (or sha512=HEX, where only that is listed)")
	}
	return nil
}
