package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ota-agent/ota-agent/agent/files"
	"github.com/ota-agent/ota-agent/install"
)

// ownedEntriesMax bounds what is looked at in a directory.
const ownedEntriesMax = 4096

// An owned file decides what runs on this device, or holds a secret: nobody but root and the agent's user may
// change it.
type owned struct {
	key   string // of the config, for its line; empty: the config itself
	path  string // empty: there is none
	guard files.Guard
	// inside: each entry of the directory, too.
	inside bool
}

// preflightOwners refuses to begin where somebody else could change what the agent goes by, or read its keys,
// as sshd does. Whoever can write the config, the anchor or a hook would own the device; who can rename a
// directory above one of them can replace it. What is not there is for others to find.
//
// What guests are meant to write is not among these files: the inhibit directory, the file metered, and
// media. Nor is a repository in a directory: nothing of it is believed.
func preflightOwners(s settings) error {
	for _, o := range s.owned() {
		if err := o.check(); err != nil {
			hint := "whoever can change it could have this device run anything, or read its keys; ota-agent config check repeats the check"
			if wrong, ok := errors.AsType[*files.OwnerError](err); ok {
				err, hint = fmt.Errorf("%s %w", o.what(), wrong), "run "+wrong.Mend+"; "+hint
			}
			return s.wrong(exitOwner, o.key, err, hint)
		}
	}
	return nil
}

func (o owned) what() string {
	if o.key == "" {
		return "the config"
	}
	return "config key " + quoted(o.key) + ":"
}

func (o owned) check() error {
	if o.path == "" {
		return nil
	}
	if err := files.CheckOwners(o.path, o.guard); err != nil || !o.inside {
		return err
	}
	dir, err := files.OpenDirectory(o.path)
	if err != nil {
		return nil // there is none, or it is none: others find that
	}
	defer dir.Close()
	names, err := dir.Readdirnames(ownedEntriesMax)
	if err != nil && len(names) > 0 {
		return err
	}
	for _, name := range names {
		if err := files.CheckOwners(filepath.Join(o.path, name), o.guard); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// owned lists all files that others must leave alone, in the order in which they matter.
func (s settings) owned() []owned {
	config, err := filepath.Abs(s.file)
	if err != nil {
		config = s.file // refused as not absolute
	}
	all := []owned{
		{path: config},
		{key: "anchor", path: s.anchor},
		{key: "floors", path: s.floors},
		{key: "state_mount", path: s.stateMount},
		{key: "state", path: s.state, inside: true},
		{key: "socket", path: filepath.Dir(s.socket), guard: files.Sticky},
		{key: "socket", path: s.hookDir(), inside: true},
		{key: "reboot.boot_id", path: unlessKernels(s.bootID)},
		{key: "device.id", path: unlessKernels(s.identity)},
	}
	for i, c := range s.agent.Components {
		all = append(all, programs(componentKey(i, "hook"), c.Hook)...)
		all = append(all, owned{key: componentKey(i, "health.checks"), path: s.hooks[c.Name].ChecksDir, inside: true})
		if c.Reboot {
			all = append(all, programs("reboot.command", install.Find(s.reboot[0]))...)
		}
	}
	all = append(all, programs("gates.hook", s.agent.Gates.Hook)...)
	all = append(all, owned{key: "repository.ca", path: s.fetch.CA}, owned{key: "repository.cert", path: s.fetch.Cert},
		owned{key: "repository.key", path: s.fetch.Key, guard: files.Secret})
	if m := s.mqtt; m != nil {
		all = append(all, owned{key: "mqtt.ca", path: m.CA}, owned{key: "mqtt.cert", path: m.Cert},
			owned{key: "mqtt.key", path: m.Key, guard: files.Secret},
			owned{key: "mqtt.password_file", path: m.PasswordFile, guard: files.Secret})
	}
	return all
}

// unlessKernels is path, or nothing where the kernel itself shows that file: nobody can replace it, and in a
// container without privileges it belongs to nobody.
func unlessKernels(path string) string {
	if strings.HasPrefix(path, "/proc/") || strings.HasPrefix(path, "/sys/") {
		return ""
	}
	return path
}

// programs are an executable and, where it is a script, its interpreter.
func programs(key, path string) []owned {
	all := []owned{{key: key, path: path}}
	if path != "" {
		all = append(all, owned{key: key, path: install.Interpreter(path)})
	}
	return all
}

// identityFile is the file that holds the device's ID; empty where the config does.
func identityFile(id string) string {
	path, ok := strings.CutPrefix(id, filePrefix)
	if !ok {
		return ""
	}
	return filepath.Clean(path)
}
