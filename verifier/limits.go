package verifier

// Limits bound what a refresh may cost. Zero fields take the value of DefaultLimits.
type Limits struct {
	// RootRotations: new roots accepted in one refresh (TUF 5.3.3).
	RootRotations int
}

// DefaultLimits admit every real repository that was measured, and a 100,000-target file.
func DefaultLimits() Limits { panic("not yet") }
