package strict

import "errors"

// The bounds of what a document may cost before anybody has vouched for it. The caller bounds its length.
const (
	// DepthMax is how many arrays and objects may lie within each other. TUF's own structures need 7, and
	// custom data begins at the 5th. It bounds recursion, and the time of a canonical form whose names don't
	// ascend: one scan for each level.
	DepthMax = 16

	// membersFree and memberBytesMin bound the members of a document: one for each 12 bytes and 65,536 more.
	// A targets file has 20 bytes and more a member; two-letter names with one-digit values have 7, and each
	// may have to be remembered.
	membersFree    = 1 << 16
	memberBytesMin = 12

	// spelledMax bounds the members of a document's objects whose names neither ascend nor come without
	// escapes: only these are sorted by comparing. Encoders that escape letters sort their names, too.
	spelledMax = 1 << 16
)

// ErrLimit is what an *Error wraps when the document is well-formed so far, but would cost too much.
var ErrLimit = errors.New("limit exceeded")

func membersMax(length int) int { return membersFree + length/memberBytesMin }

// namesMax is how many names a document of this length can hold: the shortest are `"":0,` and, as soon as
// there are more than a hundred, `"ab":0,`.
func namesMax(length int) int { return min(length/7+128, membersMax(length)) }
