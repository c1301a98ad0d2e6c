// Package interop holds this project's TUF verifier and publisher against other implementations: go-tuf, tuf-js and
// Python's securesystemslib. It is a module of its own, so that nothing of theirs reaches the dependencies of the
// agent. It has tests only; docs/interop.md says what they found.
//
// Its command bench measures the verifier beside go-tuf; docs/benchmarks.md has the outcome.
package interop
