package verifier

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ota-agent/ota-agent/verifier/strict"
)

// A document is one metadata file, read but not yet believed: what every role has in common (TUF 4.2, 4.3).
type document struct {
	role       string
	raw        []byte // as received; everything else refers to it
	signed     strict.Value
	signatures []signature
	version    int64
	expires    time.Time
	message    message
	checked    map[attempt]bool
	checks     int // signatures that were checked
}

// A signature that is no hex is kept with nil bytes: it spoils nothing (A15).
type signature struct {
	keyID string
	bytes []byte
}

// fields takes the members of signed that only one role has.
type fields func(name []byte, v strict.Value) error

// readDocument reads a role's file. kind is the role's _type: "targets" for delegated roles too.
func readDocument(role, kind string, raw []byte, limits Limits, more fields) (*document, *MetadataError) {
	parsed, err := strict.ParseDocument(raw)
	if err != nil {
		return nil, malformed("4.2", err).of(role, 0)
	}
	d, refusal := readSigned(role, kind, raw, parsed.Signed, more)
	if refusal != nil {
		return nil, refusal
	}
	if d.signatures, err = readSignatures(parsed.Signatures, limits); err != nil {
		return nil, malformed("4.2", err).of(role, d.version)
	}
	return d, nil
}

// readSigned reads the signed part of a file.
func readSigned(role, kind string, raw []byte, signed strict.Value, more fields) (*document, *MetadataError) {
	d := &document{role: role, raw: raw, signed: signed}
	if err := d.readSigned(kind, more); err != nil {
		return nil, malformed("4.3", err).of(role, d.version)
	}
	return d, nil
}

// canonical makes the message that signatures are over, once it is needed: a file that a receipt vouches for does not
// pay for it.
func (d *document) canonical() *MetadataError {
	if d.message.bytes != nil {
		return nil
	}
	message, err := d.signed.Canonical()
	if err != nil {
		return malformed("4.2", err).of(d.role, d.version)
	}
	d.message.bytes = message
	return nil
}

// readSigned passes over the signed object once.
func (d *document) readSigned(kind string, more fields) error {
	required := [...]string{"_type", "spec_version", "version", "expires"}
	var seen [len(required)]bool
	err := d.signed.Object(func(name []byte, v strict.Value) (err error) {
		switch string(name) {
		case "_type":
			seen[0], err = true, wantText(v, kind)
		case "spec_version":
			seen[1], err = true, readSpecVersion(v)
		case "version":
			seen[2] = true
			d.version, err = readVersion(v)
		case "expires":
			seen[3] = true
			d.expires, err = v.Time()
		default:
			return more(name, v)
		}
		return err
	})
	if err != nil {
		return err
	}
	for i, field := range required {
		if !seen[i] {
			return missing(field)
		}
	}
	return nil
}

// readSignatures collects the signatures. What is not a signature at all is passed over, but a key ID that comes
// twice refuses the document (A14), and so do more signatures than anyone needs.
func readSignatures(list strict.Value, limits Limits) ([]signature, error) {
	var all []signature
	seen := map[string]bool{}
	err := list.Array(func(i int, v strict.Value) error {
		if i >= limits.Signatures {
			return refuse(ErrLimitExceeded, "4.2", fmt.Sprintf("at most %d signatures", limits.Signatures), "more")
		}
		id, _ := v.Lookup("keyid")
		if len(id.Raw()) > keyIDRawMax {
			return nil
		}
		keyID, err := id.Text()
		if err != nil || len(keyID) > KeyIDBytesMax {
			return nil
		}
		if seen[keyID] {
			return refuse(ErrMalformed, "4.2", "one signature for each key ID", "two by "+excerpt(keyID))
		}
		seen[keyID] = true
		sig, _ := v.Lookup("sig")
		var decoded []byte
		if len(sig.Raw()) <= 2*signatureBytesMax+2 {
			if decoded, err = sig.Hex(); err != nil {
				decoded = nil
			}
		}
		all = append(all, signature{keyID: keyID, bytes: decoded})
		return nil
	})
	return all, err
}

func wantText(v strict.Value, want string) error {
	if text, err := v.Bytes(); err != nil || string(text) != want {
		return v.Refuse(fmt.Sprintf("the string %q", want))
	}
	return nil
}

// readVersion reads a version: an integer above 0, up to VersionMax.
func readVersion(v strict.Value) (int64, error) {
	n, err := v.Int()
	if err != nil || n < 1 || n > VersionMax {
		return 0, v.Refuse("a version from 1 to 9223372036854775806")
	}
	return n, nil
}

// readSpecVersion accepts major version 1, written with a minor and perhaps a patch number.
func readSpecVersion(v strict.Value) error {
	if len(v.Raw()) > specVersionRawMax {
		return v.Refuse("a specification version like 1.0.34")
	}
	text, err := v.Text()
	if err != nil {
		return err
	}
	parts := strings.Split(text, ".")
	if len(parts) < 2 || len(parts) > 3 {
		return v.Refuse("a specification version like 1.0.34")
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "0123456789") != "" {
			return v.Refuse("a specification version like 1.0.34")
		}
	}
	if parts[0] != "1" {
		return refuse(ErrUnsupported, "4.3", "specification version 1", excerpt(text))
	}
	return nil
}

// malformed turns a decoder's error into a refusal; one that is a refusal already keeps its class.
func malformed(section string, err error) *MetadataError {
	if e, ok := errors.AsType[*MetadataError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*strict.Error](err); ok {
		at := fmt.Sprintf("byte %d", e.Offset)
		if e.Where != "" {
			at = e.Where + ", " + at
		}
		class := ErrMalformed
		if errors.Is(e, strict.ErrLimit) {
			class = ErrLimitExceeded
		}
		return refuse(class, section, fmt.Sprintf("%s at %s", e.Want, at), e.Got)
	}
	return refuse(ErrMalformed, section, "metadata that can be read", err.Error())
}

// missing refuses a document that lacks a member.
func missing(field string) *MetadataError {
	return refuse(ErrMalformed, "4.3", "a member "+field, "none")
}

// expiry refuses a document that is not to be relied on at now; expires == now is expired.
func (d *document) expiry(now time.Time, section string) *MetadataError {
	if d.expires.After(now) {
		return nil
	}
	want := "an expiry after " + now.UTC().Format(time.RFC3339)
	return refuse(ErrExpired, section, want, d.expires.Format(time.RFC3339)).of(d.role, d.version)
}
