// Package strict reads the JSON of TUF metadata and yields its OLPC canonical form, the bytes that are signed.
//
// It is stricter than encoding/json where leniency would let two readers see different documents: member
// names are compared exactly, duplicate names are refused at every level (after unescaping, in unknown
// fields too), invalid UTF-8 and lone surrogates are errors rather than replaced, and nothing but white
// space may follow the document. It keeps what a decoder into structs loses: unknown fields, nulls, and
// integers of any size.
//
// There is no tree. Parse and ParseDocument validate the received bytes in one pass, or in two where member
// names don't ascend; a Value is a part of those bytes, known to be valid, and is read where it lies: its
// members are found by skipping, not parsed again. So one entry of a file with 100,000 targets costs one scan,
// and the other entries are never decoded.
//
// The canonical form is made from the received value, never from something written out again. Bytes that are
// canonical already, as most signing tools write them, are used without a copy.
//
// # Bounds
//
// The caller bounds the length of its input; limits.go bounds depth, and members for each byte of length.
// Time is linear in the length, also where names don't ascend: they are sorted by their bytes, and the
// canonical form costs one scan for each level of depth. Memory is nothing beyond the input while names
// ascend, and four bytes a name where they don't; a canonical form that is not the received bytes is as long
// as these, and takes four more bytes a name. No input makes this package panic.
//
// # Decisions
//
//   - A number with a fraction or an exponent is JSON, but has no canonical form: it is refused inside
//     "signed", and wherever a canonical form is asked for. Elsewhere in a document it may stand.
//   - "-0" is the integer 0, and its canonical form is "0", as in the reference implementation.
//   - Control characters stand raw in the canonical form (OLPC), where JSON forbids them. So the canonical form
//     of a text with an escaped line feed is not itself JSON, and can't be read back by this package.
//   - Trailing white space is accepted, a leading byte order mark is not.
package strict
