package strict

import (
	"bytes"
	"strconv"
	"time"
)

// Refuse returns an *Error that says what was wanted in this value's place. It is for a caller's own rules.
func (v Value) Refuse(want string) error {
	return &Error{Offset: v.Offset(), Want: want, Got: v.describe()}
}

// describe says what the value is, bounded.
func (v Value) describe() string {
	switch k := v.Kind(); k {
	case Bool:
		return bounded(v.raw)
	case Number:
		return "the number " + bounded(v.raw)
	case String:
		raw := v.raw[1:max(1, len(v.raw)-1)]
		return "the string " + quote(name{raw: raw, escaped: bytes.IndexByte(raw, '\\') >= 0}.text())
	default:
		return k.String()
	}
}

// bounded is raw, or its beginning.
func bounded(raw []byte) string {
	if len(raw) > excerptMax {
		return string(raw[:excerptMax]) + "..."
	}
	return string(raw)
}

// Text returns what a string stands for.
func (v Value) Text() (string, error) {
	text, err := v.Bytes()
	return string(text), err
}

// Bytes returns what a string stands for, in UTF-8, without a copy if it holds no escapes. It may share
// memory with the document: don't change it.
func (v Value) Bytes() ([]byte, error) {
	if v.Kind() != String {
		return nil, v.Refuse("a string")
	}
	raw := v.raw[1:max(1, len(v.raw)-1)] // a reopened document may end with a lone quote
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw[:len(raw):len(raw)], nil
	}
	return appendText(make([]byte, 0, len(raw)), raw), nil
}

// Int returns an integer. A fraction or an exponent is refused, also where it would change nothing, and so is
// what does not fit into 64 bits with a sign.
func (v Value) Int() (int64, error) {
	if v.Kind() != Number {
		return 0, v.Refuse("an integer")
	}
	if len(v.raw) <= len("-9223372036854775808") {
		if n, err := strconv.ParseInt(string(v.raw), 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, v.Refuse("an integer of at most 64 bits, without fraction or exponent")
}

// Bool returns a boolean.
func (v Value) Bool() (bool, error) {
	if v.Kind() != Bool {
		return false, v.Refuse("true or false")
	}
	return v.raw[0] == 't', nil
}

// Hex decodes a string of hex digits of either case, so that what is compared is the value and not the
// spelling. An empty string is empty, not an error.
func (v Value) Hex() ([]byte, error) {
	text, err := v.Bytes()
	if err != nil {
		return nil, v.Refuse("a string of hex digits")
	}
	if len(text)%2 != 0 {
		return nil, v.Refuse("an even number of hex digits")
	}
	decoded := make([]byte, len(text)/2)
	for i := range decoded {
		high, low := hexDigit(text[2*i]), hexDigit(text[2*i+1])
		if high > 15 || low > 15 {
			return nil, v.Refuse("a string of hex digits")
		}
		decoded[i] = high<<4 | low
	}
	return decoded, nil
}

// timeLayout is the only form of a time that TUF knows (4.2.1), in UTC.
const timeLayout = "2006-01-02T15:04:05Z"

// Time returns a time written exactly as YYYY-MM-DDTHH:MM:SSZ, on a day that the calendar has.
func (v Value) Time() (time.Time, error) {
	text, err := v.Bytes()
	if err != nil || len(text) != len(timeLayout) {
		return time.Time{}, v.Refuse("a time as YYYY-MM-DDTHH:MM:SSZ")
	}
	t, err := time.Parse(timeLayout, string(text))
	// The package time reads more than it writes: a fraction, an hour of one digit. So it must write the same.
	if err != nil || t.Format(timeLayout) != string(text) {
		return time.Time{}, v.Refuse("a time as YYYY-MM-DDTHH:MM:SSZ")
	}
	return t, nil
}
