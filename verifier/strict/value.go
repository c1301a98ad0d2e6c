package strict

// A Kind is one of the six kinds of JSON value, or Absent.
type Kind uint8

// The kinds of JSON value. Absent is the kind of the zero Value: a member that is not there.
const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// String names the kind the way errors do.
func (k Kind) String() string {
	switch k {
	case Absent:
		return "nothing"
	case Null:
		return "null"
	case Bool:
		return "a boolean"
	case Number:
		return "a number"
	case String:
		return "a string"
	case Array:
		return "an array"
	case Object:
		return "an object"
	}
	return "no kind"
}

// A form says what is known of the distance between received bytes and their canonical form. What holds for a
// value holds for the values inside it.
type form uint8

const (
	unsorted form = iota // nothing
	sorted               // the names of every object ascend, and every number is an integer
	exact                // the bytes are the canonical form
	reopened             // less than nothing: the bytes were not even validated, see ReopenSigned
)

// A Value is a part of a document that was validated as a whole, now or (ReopenSigned) earlier; only this package makes
// one that is not the zero Value. It refers to the bytes that were parsed, which must not change as long as it is used.
type Value struct {
	raw    []byte
	offset int // in the document
	form   form
}

// Parse validates raw, one JSON value with nothing but white space around it. An error is an *Error. The
// Value refers to raw.
func Parse(raw []byte) (Value, error) {
	v, _, err := validate(raw, false)
	if err != nil {
		return Value{}, err
	}
	return v, nil
}

// Raw returns the value's bytes as they were received, without white space around them. They are shared with
// the document: don't change them.
func (v Value) Raw() []byte { return v.raw }

// Offset is where the value starts in its document, in bytes.
func (v Value) Offset() int64 { return int64(v.offset) }

// Kind of the value.
func (v Value) Kind() Kind {
	if len(v.raw) == 0 {
		return Absent
	}
	switch v.raw[0] {
	case 'n':
		return Null
	case 't', 'f':
		return Bool
	case '"':
		return String
	case '[':
		return Array
	case '{':
		return Object
	default:
		return Number
	}
}

// IsNull reports whether the value is null.
func (v Value) IsNull() bool { return v.Kind() == Null }

// Object calls f for each member of an object, in the order received, and ends with f's first error. Names
// are unescaped; a name is valid until f returns, and not to be changed. Where an error holds an *Error, the
// member's name is put in front of its path.
func (v Value) Object(f func(name []byte, member Value) error) error {
	if v.Kind() != Object {
		return v.Refuse("an object")
	}
	for m := v.members(); m.next(); {
		if err := f(m.name, v.part(m.start, m.end)); err != nil {
			return at(err, func(e *Error) { e.within(m.name) })
		}
	}
	return nil
}

// Array calls f for each element of an array, and ends with f's first error. Where an error holds an *Error,
// the element's index is put in front of its path.
func (v Value) Array(f func(i int, element Value) error) error {
	if v.Kind() != Array {
		return v.Refuse("an array")
	}
	pos := skipSpace(v.raw, 1)
	for i := 0; pos < len(v.raw) && v.raw[pos] != ']'; i++ {
		end := skipValue(v.raw, pos)
		if end == pos {
			break // no value begins here, as can be in a reopened document
		}
		if err := f(i, v.part(pos, end)); err != nil {
			return at(err, func(e *Error) { e.withinIndex(i) })
		}
		pos = skipByte(v.raw, end, ',')
	}
	return nil
}

// Lookup finds the member of an object by its exact name, in one scan. It is the zero Value, and false, if
// there is none, or v is not an object.
func (v Value) Lookup(name string) (Value, bool) {
	if v.Kind() != Object {
		return Value{}, false
	}
	for m := v.members(); m.next(); {
		if string(m.name) == name {
			return v.part(m.start, m.end), true
		}
		if v.ordered() && string(m.name) > name {
			break
		}
	}
	return Value{}, false
}

// ordered reports whether the names of every object in v are known to ascend.
func (v Value) ordered() bool { return v.form == sorted || v.form == exact }

// Field is Lookup for a member that must be there.
func (v Value) Field(name string) (Value, error) {
	if v.Kind() != Object {
		return Value{}, v.Refuse("an object")
	}
	member, ok := v.Lookup(name)
	if !ok {
		return Value{}, &Error{Offset: v.Offset(), Want: "a member " + quote([]byte(name)), Got: "none"}
	}
	return member, nil
}

// part is the value at raw[start:end].
func (v Value) part(start, end int) Value {
	return Value{raw: v.raw[start:end:end], offset: v.offset + start, form: v.form}
}

// members iterates over the members of an object.
type members struct {
	raw []byte
	pos int
	// name is the member's, unescaped: valid until the next one. Its opening quote is at the offset at, and
	// its value lies at raw[start:end].
	name           []byte
	escaped        bool
	at, start, end int
	scratch        []byte // of escaped names
}

func (v Value) members() members { return members{raw: v.raw, pos: skipSpace(v.raw, 1)} }

// next steps to the next member, if there is one.
func (m *members) next() bool { return m.begin() && m.finish() }

// begin reads the next member's name, and finds where its value starts.
func (m *members) begin() bool {
	if m.pos >= len(m.raw) || m.raw[m.pos] != '"' {
		return false
	}
	end, escaped := skipText(m.raw, m.pos)
	if end < m.pos+2 {
		return false // a lone quote at the end, as can be in a reopened document
	}
	m.at, m.escaped = m.pos, escaped
	m.name = m.raw[m.pos+1 : end-1]
	if escaped {
		if cap(m.scratch) < len(m.name) {
			m.scratch = make([]byte, 0, len(m.name)) // what it stands for is never longer
		}
		m.scratch = appendText(m.scratch[:0], m.name)
		m.name = m.scratch
	}
	m.start = skipByte(m.raw, end, ':')
	return true
}

// finish finds the end of the value. It is always true.
func (m *members) finish() bool {
	m.end = skipValue(m.raw, m.start)
	m.pos = skipByte(m.raw, m.end, ',')
	return true
}
