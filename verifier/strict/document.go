package strict

// A Document is a TUF metadata file (4.2): what is signed, and by whom.
type Document struct {
	// Signed is an object, and has a canonical form.
	Signed Value
	// Signatures is an array. Its elements are unchecked: one that is no signature does not spoil the others.
	Signatures Value
}

// ParseDocument validates raw as a whole, in one pass (two where member names don't ascend), and splits it.
// Members beside signed and signatures are allowed and ignored. An error is an *Error. The Document refers
// to raw.
func ParseDocument(raw []byte) (Document, error) {
	whole, d, err := validate(raw, true)
	if err != nil {
		return Document{}, err
	}
	if err := member(whole, d.Signed, "signed", Object); err != nil {
		return Document{}, err
	}
	if err := member(whole, d.Signatures, "signatures", Array); err != nil {
		return Document{}, err
	}
	return d, nil
}

// member checks that a member of whole is there, and of its kind.
func member(whole, v Value, name string, want Kind) error {
	if v.Kind() == Absent {
		return &Error{Offset: whole.Offset(), Want: "a member " + quote([]byte(name)), Got: "none"}
	}
	if v.Kind() != want {
		return at(v.Refuse(want.String()), func(e *Error) { e.within([]byte(name)) })
	}
	return nil
}

// ReopenSigned finds the signed part of raw without validating anything: ParseDocument accepted these very bytes before, as
// the caller knows by their hash. Should the caller be mistaken, the Value reads as nonsense; but no reader panics,
// each takes time linear in the length, and a canonical form is made only of what proves to be JSON. The end of
// the Value is not looked for, so its Raw goes on to the end of the document; that of its members is theirs.
func ReopenSigned(raw []byte) (Value, error) {
	start := skipSpace(raw, 0)
	whole := Value{raw: raw[start:], offset: start, form: reopened}
	if whole.Kind() != Object {
		return Value{}, whole.Refuse("an object with signed and signatures")
	}
	var signed Value
	for m := whole.members(); m.begin(); m.finish() {
		if string(m.name) == "signed" {
			signed = whole.part(m.start, len(whole.raw))
			break
		}
	}
	if err := member(whole, signed, "signed", Object); err != nil {
		return Value{}, err
	}
	return signed, nil
}
