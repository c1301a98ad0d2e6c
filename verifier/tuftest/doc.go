// Package tuftest is a TUF repository in memory, with a client's store beside it, for tests that read as stories of
// attacks. It signs on demand: a test changes what a role says, who signs it or what comes over the wire, and the
// next request sees it.
//
// It has an encoder and a canonical form of its own, so that it can't share a mistake with the verifier.
// The keys are made from fixed seeds and protect nothing.
package tuftest
