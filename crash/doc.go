// Package crash kills the real agent at its system calls. It has tests only, for Linux on amd64: a small tracer
// (ptrace) runs the ota-agent binary on a real state directory, with a real repository on loopback and the shipped
// hook ab-file, counts over all threads the system calls that change a disk, and at exactly the N-th one kills the
// process before it took effect or after it, or makes it fail. Then the device runs on without faults and must come
// to rest with the new release; at each fault there must be a bootable slot, a store that opens, and floors that did
// not fall.
//
// Then the same with a second fault, drawn by a seed, in the recovery from the first.
//
// The same tracer measures, from outside of the process, what the agent writes.
//
// An agent that a later version would plausibly be (go build -overlay: more buckets, fields, phases, events and floors) dies in
// each phase, and the older one goes on from its database, and the other way round.
//
// What a dead process leaves in the kernel's cache is not lost by that. So a virtual machine (QEMU, with Debian's kernel)
// runs the same story on an ext4 disk, and logs each request to that disk; package writelog makes of the log what the
// disk may hold after a power cut at any of them. Each such disk is mounted: it must hold all that the agent's status
// had let see before the cut, verified images only, and a bootable slot; and the agent must come to rest from there.
// That test needs root, and Debian's packages, which it gets itself.
//
// Environment: OTA_CRASH_BUDGET is the time that each exhaustive test may take ("90s" unless set, "4m" for each run of the
// virtual machine; "0": as long as it takes), OTA_CRASH_SEED replays an order of crash points.
package crash
