package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A bootEnv is the file in which the board's bootloader and the ab-file hook meet: key=value lines, among them
// primary=SLOT and try=SLOT. Lines that the bootloader does not know stay as they are.
type bootEnv []string

const bootEnvBytesMax = 4096

func readBootEnv(path string) (bootEnv, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) > bootEnvBytesMax || len(b) == 0 || b[len(b)-1] != '\n' {
		return nil, fmt.Errorf("%s: %d bytes, expected whole lines of at most %d bytes together", path, len(b), bootEnvBytesMax)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n"), nil
}

func (e bootEnv) get(key string) string {
	for _, line := range e {
		if value, ok := strings.CutPrefix(line, key+"="); ok {
			return value
		}
	}
	return ""
}

func (e bootEnv) set(key, value string) bootEnv {
	set := append(bootEnv(nil), e...)
	for i, line := range set {
		if strings.HasPrefix(line, key+"=") {
			set[i] = key + "=" + value
			return set
		}
	}
	return append(set, key+"="+value)
}

// write replaces the file whole, as one atomic write: temporary file, fsync, rename, fsync of the directory.
func (e bootEnv) write(path string) error {
	temp := path + ".bootloader"
	f, err := os.Create(temp)
	if err != nil {
		return err
	}
	_, err = f.WriteString(strings.Join(e, "\n") + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// A choice is what the bootloader decided.
type choice struct {
	Slot string
	// Try is true for a one-shot boot: the next one is primary's again, whatever happens in this one.
	Try bool
}

// choose is the bootloader: a one-shot try is cleared durably before its slot is booted, so that a slot which hangs
// or loses power gets exactly one boot; else primary is booted.
func choose(path string) (choice, error) {
	env, err := readBootEnv(path)
	if err != nil {
		return choice{}, err
	}
	if slot := env.get("try"); slot != "" {
		if err := env.set("try", "").write(path); err != nil {
			return choice{}, fmt.Errorf("clear the one-shot try: %w", err)
		}
		return choice{Slot: slot, Try: true}, nil
	}
	if slot := env.get("primary"); slot != "" {
		return choice{Slot: slot}, nil
	}
	return choice{}, fmt.Errorf("%s: no primary slot", path)
}
