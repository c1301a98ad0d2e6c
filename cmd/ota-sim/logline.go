package main

import "strings"

// logLine shortens a line of the agent's log (log/slog's text form) for the screen: the level, the message, and the
// rest without the time.
func logLine(line string) string {
	rest, ok := strings.CutPrefix(line, "time=")
	if !ok {
		return line
	}
	_, rest, _ = strings.Cut(rest, " ")
	level, ok := strings.CutPrefix(rest, "level=")
	if !ok {
		return rest
	}
	level, rest, _ = strings.Cut(level, " ")
	rest = strings.TrimPrefix(rest, "msg=")
	return level + " " + rest
}
