package main

import (
	"os"
	"testing"
)

// TestDemo tells the whole story with the real agent. "make demo" does the same with its output on the screen.
func TestDemo(t *testing.T) {
	if os.Getenv("OTA_DEMO") != "1" {
		t.Skip("the whole demo takes most of a minute; run it with OTA_DEMO=1, or as \"make demo\"")
	}
	// The board's button is this program: a test binary has no commands, so the demo's program is built.
	dir := t.TempDir()
	if err := goBuild(t.Context(), "../..", dir+"/ota-sim", "./cmd/ota-sim", ""); err != nil {
		t.Fatal(err)
	}
	b := demoOptions{Self: dir + "/ota-sim", Seed: 1}
	if err := demo(t.Context(), b, newShow(os.Stdout, func() {})); err != nil {
		t.Fatal(err)
	}
}
