// Package agent is the policy of the update agent: what to do next with each component, when, and why. It holds the
// update machine (machine.go, pure), the loop around it, and the ports it needs; it does no I/O of its own.
package agent
