// Package files reads files that somebody else may have placed or may change, and says who can change a file.
// It has no policy: what follows from a file that can't be read, or that others may change, is for its
// caller.
package files
