package strict

import (
	"bytes"
	"io"
	"slices"
	"unicode/utf8"
)

// Canonical returns the value's canonical form, what a signature is made over. Where the received bytes are
// the canonical form already it is these, without a copy: don't change them. The only error is a number that
// is not an integer.
func (v Value) Canonical() ([]byte, error) {
	if v.form == exact {
		return v.raw, nil
	}
	return v.AppendCanonical(make([]byte, 0, len(v.raw))) // the canonical form is never longer
}

// AppendCanonical appends the canonical form to dst. After an error dst is returned as it was.
func (v Value) AppendCanonical(dst []byte) ([]byte, error) {
	c := canonical{buffer: dst}
	if err := c.value(v); err != nil {
		return dst, err
	}
	return c.buffer, nil
}

// WriteCanonical writes the canonical form to w, a hash as a rule. It needs a small buffer, and 64 bytes for
// each member of an object whose names don't ascend; what was written before an error is to be thrown away.
func (v Value) WriteCanonical(w io.Writer) error {
	c := canonical{w: w}
	if v.form != exact {
		c.buffer = make([]byte, 0, min(len(v.raw), 2*chunkBytes))
	}
	if err := c.value(v); err != nil {
		return err
	}
	return c.flush(0)
}

// AppendCanonical validates raw, one JSON value, and appends its canonical form to dst.
func AppendCanonical(dst, raw []byte) ([]byte, error) {
	v, err := Parse(raw)
	if err != nil {
		return dst, err
	}
	return v.AppendCanonical(dst)
}

// WriteCanonical validates raw, one JSON value, and writes its canonical form to w.
func WriteCanonical(w io.Writer, raw []byte) error {
	v, err := Parse(raw)
	if err != nil {
		return err
	}
	return v.WriteCanonical(w)
}

// chunkBytes is how much a canonical gathers before it writes: enough to make a hash's block loop and a write
// worth their call.
const chunkBytes = 16 << 10

// A canonical builds a canonical form in buffer, and empties it into w, if there is one.
type canonical struct {
	buffer []byte
	w      io.Writer
}

// flush writes the buffer out if it holds more than limit bytes.
func (c *canonical) flush(limit int) error {
	if c.w == nil || len(c.buffer) <= limit {
		return nil
	}
	_, err := c.w.Write(c.buffer)
	c.buffer = c.buffer[:0]
	return err
}

// add takes bytes that are canonical; long ones go past the buffer.
func (c *canonical) add(raw []byte) error {
	if c.w != nil && len(raw) > chunkBytes {
		if err := c.flush(0); err != nil {
			return err
		}
		_, err := c.w.Write(raw)
		return err
	}
	c.buffer = append(c.buffer, raw...)
	return c.flush(chunkBytes)
}

func (c *canonical) value(v Value) error {
	if v.form == exact {
		return c.add(v.raw)
	}
	switch v.Kind() {
	case Object:
		if v.form == sorted {
			return c.stream(v)
		}
		return c.object(v)
	case Array:
		return c.array(v)
	case String:
		return c.text(v.raw[1 : len(v.raw)-1])
	case Number:
		return c.number(v)
	default:
		return c.add(v.raw)
	}
}

// stream writes an object whose names ascend, as it goes.
func (c *canonical) stream(v Value) error {
	separator := "{"
	for m := v.members(); m.next(); separator = "," {
		if err := c.member(separator, m); err != nil {
			return err
		}
	}
	return c.end(separator, "{", "}")
}

// object writes any object: it collects the members, sorts them, then writes.
func (c *canonical) object(v Value) error {
	var all []members
	for m := v.members(); m.next(); {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b members) int { return bytes.Compare(a.name, b.name) })
	separator := "{"
	for _, m := range all {
		if err := c.member(separator, m); err != nil {
			return err
		}
		separator = ","
	}
	return c.end(separator, "{", "}")
}

func (c *canonical) array(v Value) error {
	separator := "["
	err := v.Array(func(_ int, element Value) error {
		c.buffer = append(c.buffer, separator...)
		separator = ","
		return c.value(element)
	})
	if err != nil {
		return err
	}
	return c.end(separator, "[", "]")
}

func (c *canonical) member(separator string, m members) error {
	c.buffer = append(c.buffer, separator...)
	if err := c.text(m.inside); err != nil {
		return err
	}
	c.buffer = append(c.buffer, ':')
	if err := c.value(m.value); err != nil {
		return at(err, func(e *Error) { e.within(m.name) })
	}
	return nil
}

// end closes an array or object; if separator is still the opening one, nothing was in it.
func (c *canonical) end(separator, open, end string) error {
	if separator == open {
		c.buffer = append(c.buffer, open...)
	}
	c.buffer = append(c.buffer, end...)
	return c.flush(chunkBytes)
}

// text writes a string, of which raw is the inside as received. Only the quote and the backslash are escaped.
func (c *canonical) text(raw []byte) error {
	c.buffer = append(c.buffer, '"')
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			break
		}
		if err := c.add(raw[:i]); err != nil {
			return err
		}
		r, n := nextRune(raw[i:])
		if r == '"' || r == '\\' {
			c.buffer = append(c.buffer, '\\')
		}
		c.buffer = utf8.AppendRune(c.buffer, r)
		raw = raw[i+n:]
	}
	if err := c.add(raw); err != nil {
		return err
	}
	c.buffer = append(c.buffer, '"')
	return nil
}

// number writes an integer.
func (c *canonical) number(v Value) error {
	if bytes.ContainsAny(v.raw, ".eE") {
		return v.Refuse("an integer: other numbers have no canonical form")
	}
	if string(v.raw) == "-0" {
		return c.add(v.raw[1:])
	}
	return c.add(v.raw)
}
