package main

import (
	"runtime"
	"runtime/debug"
	"time"
)

// buildInfo is the agent's version, and when it was built: the zero time where that is not known. Version control's
// word counts where the linker was told nothing.
func buildInfo() (name string, built time.Time) {
	name, built = version, parseTime(buildTime)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return orDefault(name, "unknown"), built
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" && built.IsZero() {
			built = parseTime(s.Value)
		}
	}
	if name == "" && info.Main.Version != "(devel)" {
		name = info.Main.Version
	}
	return orDefault(name, "unknown"), built
}

func parseTime(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

func (c *cli) showVersion([]string) error {
	name, built := buildInfo()
	when := "at an unknown time"
	if !built.IsZero() {
		when = built.UTC().Format(time.RFC3339)
	}
	return c.ui.print("ota-agent %s (%s, %s/%s, built %s)", plain(name), runtime.Version(), runtime.GOOS, runtime.GOARCH, when)
}
