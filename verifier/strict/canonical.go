package strict

import (
	"bytes"
	"io"
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
	v, err := v.validated()
	if err != nil {
		return dst, err
	}
	c := canonical{buffer: dst}
	if err := c.value(v); err != nil {
		return dst, err
	}
	return c.buffer, nil
}

// WriteCanonical writes the canonical form to w, a hash as a rule. It needs a small buffer, and four bytes
// for each member of the objects it is in, if their names don't ascend; what was written before an error is
// to be thrown away.
func (v Value) WriteCanonical(w io.Writer) error {
	v, err := v.validated()
	if err != nil {
		return err
	}
	c := canonical{w: w}
	if v.form != exact {
		c.buffer = make([]byte, 0, min(len(v.raw), 2*chunkBytes))
	}
	if err := c.value(v); err != nil {
		return err
	}
	return c.flush(0)
}

// validated makes good what ReopenSigned left out: only what is JSON has a canonical form.
func (v Value) validated() (Value, error) {
	if v.form != reopened {
		return v, nil
	}
	return Parse(v.raw)
}

// Canonical validates raw, one JSON value, and returns its canonical form: raw itself, or a part of it, if
// that is canonical already.
func Canonical(raw []byte) ([]byte, error) {
	v, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	return v.Canonical()
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
	// names holds, one object after the other, where the members of all objects that are being written begin.
	names []uint32
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
	switch v.form {
	case exact:
		return c.add(v.raw)
	case sorted:
		return c.squeeze(v.raw)
	}
	switch v.Kind() {
	case Object:
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

// squeeze writes a value of form sorted, in one pass without regard to its structure: what is between the
// white space stands as it is, but for strings with escapes and -0.
func (c *canonical) squeeze(raw []byte) error {
	run := 0 // where the bytes that stand as they are begin
	for i := 0; i < len(raw); {
		next, rewrite := i+1, false
		switch raw[i] {
		case '"':
			next, rewrite = skipText(raw, i)
		case ' ', '\t', '\n', '\r':
			next, rewrite = skipSpace(raw, i+1), true
		case '-':
			next, rewrite = i+2, raw[i+1] == '0'
		}
		if rewrite {
			if err := c.add(raw[run:i]); err != nil {
				return err
			}
			if err := c.rewrite(raw[i:next]); err != nil {
				return err
			}
			run = next
		}
		i = next
	}
	return c.add(raw[run:])
}

// rewrite writes a string, -0 or white space.
func (c *canonical) rewrite(raw []byte) error {
	switch raw[0] {
	case '"':
		return c.text(raw[1 : len(raw)-1])
	case '-':
		return c.add(raw[1:])
	default:
		return nil
	}
}

// object writes an object in any order: it collects where its members begin, sorts them by name, then writes.
func (c *canonical) object(v Value) error {
	if c.names == nil {
		c.names = make([]uint32, 0, namesMax(len(v.raw)))
	}
	base, escaped := len(c.names), false
	for m := v.members(); m.next(); {
		c.names = append(c.names, uint32(m.at))
		escaped = escaped || m.escaped
	}
	end := len(c.names)
	sortNames(v.raw, c.names[base:end], escaped)
	separator := "{"
	for i := base; i < end; i++ {
		if err := c.member(separator, v, c.names[i]); err != nil {
			return err
		}
		separator = ","
	}
	c.names = c.names[:base]
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

func (c *canonical) member(separator string, object Value, offset uint32) error {
	c.buffer = append(c.buffer, separator...)
	n := nameAt(object.raw, offset)
	if err := c.text(n.raw); err != nil {
		return err
	}
	c.buffer = append(c.buffer, ':')
	start := skipByte(object.raw, int(n.offset)+len(n.raw)+2, ':')
	if err := c.value(object.part(start, skipValue(object.raw, start))); err != nil {
		return at(err, func(err *Error) { err.within(n.text()) })
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
