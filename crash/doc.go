// Package crash kills the real agent at its system calls. It has tests only, for Linux on amd64: a small tracer
// (ptrace) runs the ota-agent binary on a real state directory, with a real repository on loopback and the shipped
// hook ab-file, counts over all threads the system calls that change a disk, and at exactly the N-th one kills the
// process before it took effect or after it, or makes it fail. Then the device runs on without faults and must come
// to rest with the new release; at each fault there must be a bootable slot, a store that opens, and floors that did
// not fall.
//
// The same tracer measures, from outside of the process, what the agent writes.
//
// What a dead process leaves in the kernel's cache is not lost here: agent/sim and storage's own tests lose it.
//
// Environment: OTA_CRASH_BUDGET is the time that each exhaustive test may take ("2m" unless set; "0": as long as it
// takes), OTA_CRASH_SEED replays an order of crash points.
package crash
