// Package e2e runs the real agent, built as a device gets it, against real parts: Debian's nginx, mosquitto
// and systemd, toxiproxy, and network namespaces with links that are slow, lossy, down or renumbered.
//
// It is a module of its own, so that none of these parts gets into the agent's. A test whose part is missing says
// so and how to get it, and is skipped.
package e2e
