//go:build !linux || !amd64

package crash

import "testing"

func TestElsewhere(t *testing.T) { t.Skip("the tracer knows Linux on amd64 only") }
