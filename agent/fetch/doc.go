// Package fetch is the agent's way to its repository: HTTP, HTTPS or a directory, each perhaps with mirrors.
//
// It trusts nobody and verifies nothing. What it promises is about cost and clarity: every answer is bounded in
// bytes and in time, whoever is at the other end; a failure is never taken for absence; and each failure names
// the hosts it met, without passwords and query strings, under a reason that agent.Backoff knows.
//
// # Resuming
//
// Image asks for the bytes after those that are already durable. It sends If-Range where it has a strong
// validator. Where it has none it asks for a range only if the file's name carries its hash (TUF 5.7.3): such a
// file never changes under its name. Anything else starts over from byte 0. None of this is trusted: a byte
// that is wrong all the same is found by the hash over the whole image, and the caller then drops what it has.
//
// # Mirrors
//
// Metadata and images have one ordered list each. Any failure leads on to the next mirror, and the mirror that
// failed rests for a while; afterwards the order is the configured one again. One whose bytes did not verify rests for
// hours, and is not asked for an image while another one may have it. Absence leads on to the next
// mirror too, with one exception: the next root file, which is absent nearly always. There the first mirror
// that answers decides, so that a poll with nothing new costs the same two requests with five mirrors as with
// one. A stale or hostile mirror can thus hide a new root, but no more than it could do by repeating an old
// timestamp: the trusted timestamp's expiry ends both, and a refused refresh (MetadataRefused) begins with
// another mirror next time.
//
// # Slow mirrors
//
// An image's body may go on from another mirror at the byte where it is, by the rules of resuming: a mirror
// that fails hands over to the next one at once, and one that is slow to the fastest (relay.go; the rule is
// in course.go, and pure).
//
// # Addresses
//
// Each address of a name is tried as a mirror is. One that takes the connection and then fails (TLS, header
// or body) rests, and the same request goes on at all others at once (visit.go). A redirect leads no nearer
// to this device than the mirror that sent it, by the address that was resolved (nearness.go).
//
// # Media
//
// A directory may come and go: on a USB stick. Where one turns up at a configured place, it is one more
// mirror, for images the first, for metadata the last. What lies on it is as hostile as any server: it is
// never written to, no link on it leads elsewhere, and nothing on it makes the agent wait: whatever may hang
// in the kernel is done by an aide, a process that can be left behind (aide.go). What is bad is known by its
// metadata when it is plugged in again (memory.go).
package fetch
