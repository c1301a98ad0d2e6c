package main

import "path/filepath"

// paths say where things lie on a board.
type paths struct {
	dir    string
	flash  string // survives a power cut
	run    string // is empty after each boot
	button string // the board's own socket
}

func newPaths(dir string) paths {
	return paths{
		dir: dir, flash: filepath.Join(dir, "flash"), run: filepath.Join(dir, "run"), button: filepath.Join(dir, "board.sock"),
	}
}

func (p paths) config() string  { return filepath.Join(p.flash, "config.toml") }
func (p paths) anchor() string  { return filepath.Join(p.flash, "root.json") }
func (p paths) state() string   { return filepath.Join(p.flash, "state") }
func (p paths) images() string  { return filepath.Join(p.state(), "images") }
func (p paths) partial() string { return filepath.Join(p.state(), "partial") }
func (p paths) appDir() string  { return filepath.Join(p.flash, "app") }
func (p paths) slots() string   { return filepath.Join(p.flash, "ab") }
func (p paths) bootEnv() string { return filepath.Join(p.slots(), "bootenv") }
func (p paths) hooks() string   { return filepath.Join(p.flash, "hooks") }
func (p paths) booted() string  { return filepath.Join(p.slots(), "booted") }
func (p paths) bootID() string  { return filepath.Join(p.run, "boot_id") }
func (p paths) socket() string  { return filepath.Join(p.run, "agent.sock") }
func (p paths) hook(name string) string {
	return filepath.Join(p.hooks(), name)
}
func (p paths) slot(name string) string {
	return filepath.Join(p.slots(), "slot."+name)
}
