package main

import (
	"debug/elf"
	"os"
	"path/filepath"
	"testing"
)

// binaryBytesMax is the budget of the stripped binary on the CPUs of devices (ARCHITECTURE.md). In a
// read-only image, which compresses it, 10 MiB cost a device about 3.
const binaryBytesMax = 10 << 20

// TestCross looks at the binaries that `make cross` built: each is static and within the budget.
func TestCross(t *testing.T) {
	dir := os.Getenv("OTA_CROSS")
	if dir == "" {
		t.Skip("four builds take a minute: make cross makes them and runs this test with OTA_CROSS set to their directory")
	}
	for name, machine := range map[string]elf.Machine{
		"ota-agent-amd64": elf.EM_X86_64, "ota-agent-arm64": elf.EM_AARCH64, "ota-agent-arm7": elf.EM_ARM, "ota-agent-386": elf.EM_386,
	} {
		path := filepath.Join(dir, name)
		binary, err := elf.Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if binary.Machine != machine {
			t.Errorf("%s is for %v", name, binary.Machine)
		}
		for _, p := range binary.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("%s is not static: it has a %v segment", name, p.Type)
			}
		}
		if binary.Section(".symtab") != nil {
			t.Errorf("%s is not stripped", name)
		}
		binary.Close()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d bytes", name, info.Size())
		if info.Size() > binaryBytesMax {
			t.Errorf("%s has %d bytes, at most %d are allowed", name, info.Size(), binaryBytesMax)
		}
	}
}
