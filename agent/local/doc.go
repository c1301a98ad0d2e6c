// Package local is the agent's API on a Unix socket, and the client of it that the CLI uses: HTTP and JSON, with the
// version in the path.
//
//	GET  /v1/status    the status document
//	GET  /v1/watch     a status document a line: at once, then on change
//	GET  /v1/history   what is kept of the past: events, oldest first
//	GET  /v1/metadata  ?role=ROLE, and &version=N for a root: a trusted metadata file, byte for byte
//	POST /v1/check     refreshes now, waits for the end, answers with the status document
//	POST /v1/command   {"command": "pause" | "resume" | "retry", "component": NAME}, or
//	                   {"command": "bandwidth", "bandwidth": BYTES PER SECOND}; answers with the status document
//
// Whoever can open the socket may look; its mode lets in the agent's own user and group. Only root and the agent's
// own user may command: the kernel says who a caller is (SO_PEERCRED), not the caller. Answers other than 200 carry
// {"error": TEXT}.
package local
