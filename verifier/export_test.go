package verifier

// CountChecks counts the signatures of one top-level role that r checks from now on, for as long as root stays the
// same.
func CountChecks(r *Refresh, role string) *int {
	n := new(int)
	keys := r.root.grants[role].keys
	for id, key := range keys {
		verify := key.verify
		key.verify = func(m *message, signature []byte) bool {
			*n++
			return verify(m, signature)
		}
		keys[id] = key
	}
	return n
}

// Checks is how many signatures of targets roles r and its searches have checked.
func Checks(r *Refresh) int { return r.checks }

// KeptForms is how many bytes of canonical forms r keeps of the files that may be long.
func KeptForms(r *Refresh) int { return len(r.snapshot.message.bytes) + len(r.targets.message.bytes) }
