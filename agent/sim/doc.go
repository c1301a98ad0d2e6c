// Package sim runs the real agent (its machine, loop, ledger and verifier) in a simulated world, and kills it at
// every step it takes. It is used by tests only.
//
// # The fault model
//
// Each call of a port is one or more steps. A fault hits one step in one of four ways: the step took effect or it did
// not, and then the process dies or the power does. A dead process does nothing more. When only the process dies,
// the service manager starts it again in the same boot, and what was written but not flushed is still there. When
// the power dies, unflushed bytes of partial files are gone, the boot environment decides which slot boots, and the
// uptime begins at 0 with a new boot ID.
//
//   - Store: a commit is atomic; floors are kept before it, as a step of their own.
//   - Images: bytes count only once flushed; staging is a flush, a rename and a directory flush.
//   - Slots: install first makes the slot unbootable, then writes garbage over it, then the image: three steps. Every
//     other verb is one atomic write of the boot environment. A try is good for one boot.
//   - Releases misbehave as their image says: one never starts the agent, one is unhealthy, one breaks the network.
//
// # What is checked
//
// After each step: only verified images lie in a bootable slot; a good slot always is there; trusted versions and floors
// never fall; nothing unhealthy is ever confirmed. When the faults stop, the device must come to run what the
// repository offers (or to have rejected it, if it is bad) within a bounded time.
package sim
