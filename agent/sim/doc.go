// Package sim runs the real agent (its machine, loop, ledger, download and verifier) in a simulated world, and kills it at
// every step it takes. It is used by tests only.
//
// # The fault model
//
// Each call of a port is one or more steps. A fault hits one step in one of four ways: the step took effect or it did
// not, and then the process dies or the power does. A dead process does nothing more. When only the process dies,
// the service manager starts it again in the same boot, and what was written but not synced is still there. When
// the power dies, the boot environment decides which slot boots, and the uptime begins at 0 with a new boot ID.
//
//   - Store: a commit is atomic; floors are kept before it, as a step of their own. (The steps inside a commit are
//     package storage's, and killed there.)
//   - Images: bytes count once synced, and of those after them a power cut leaves some, whole or torn, or none. A
//     new name is there after a power cut once its directory was synced; the store syncs it when it opens, too.
//   - Slots: install first makes the slot unbootable, then writes garbage over it, then the image: three steps. Every
//     other verb is one atomic write of the boot environment. A try is good for a number of boots. A component that
//     needs no reboot switches at once and goes back at a boot.
//   - Releases misbehave as their image says: one never starts the agent, one is unhealthy, one breaks the network,
//     and in one the hook fails.
//   - Mishaps befall a dead process: the database is lost, images rot, the config is edited, an older agent reads what a
//     newer one stored.
//   - A broker is told events, each a step: a fault loses the message or its acknowledgement. In the chaos it loses either without
//     a crash, too, acknowledges twice, and what it was never told.
//   - Mirrors replay, forget, tamper, cut, mix, stall and never end. Wakes come twice, late or not at all. Clocks start at
//     1970, jump, and are called right by the kernel when they are wrong. Drives are short. People pause and retry.
//
// # What is checked
//
// After each step (checkers.go): only whole releases of the publisher lie in a slot that may boot; a good slot always is
// there; trusted versions and floors never fall and are never behind the database; a verb runs only while a durable
// record orders it, one component at a time; nothing is tried without asking the repository shortly before, and nothing
// confirmed that did not prove itself in this boot; no good release is ever rejected; the time's floor is never ahead
// of the true time; the loop does not spin, no verb that wears something is repeated at full speed, and no more reboots are ordered
// than one an hour. Each commit holds both a change and the event that tells of it, or neither
// (broker.go); nothing is told that is not durable, what is new comes in order, no verdict is dropped untold, and in the
// end each has arrived. When the faults stop, the device must come to run what the repository offers (or to have
// rejected it, if it is bad) within a bounded time. One thing is left to people: a device that lost the record of a trial
// in which its hook does not answer is switched off and on after a week.
//
// TestPlantedBugs plants bugs and asserts that all this finds them.
package sim
