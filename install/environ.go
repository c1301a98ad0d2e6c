package install

import (
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ota-agent/ota-agent/agent"
)

// hookPath is the PATH of every hook: what the agent was started with must not change what a hook runs.
const hookPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// proxyNames are the only variables that hooks inherit from the agent: a hook that downloads (RAUC) must go the
// same way out.
var proxyNames = []string{
	"http_proxy", "https_proxy", "no_proxy", "all_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
}

// baseEnviron is what every child of the agent gets. NOTIFY_SOCKET is not in it: a hook must not speak to the
// service manager in the agent's name.
func baseEnviron(environ []string) []string {
	base := []string{"PATH=" + hookPath, "LANG=C"}
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		if slices.Contains(proxyNames, name) {
			base = append(base, e)
		}
	}
	return base
}

// CheckEnv refuses a name in a component's environment: names are A-Z, 0-9 and _, do not begin with a digit, and are
// none that the protocol, the dynamic linker or the shell give a meaning of their own.
func CheckEnv(name string) error {
	for i, c := range []byte(name) {
		letter := c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return fmt.Errorf("environment variable %q: expected A-Z, 0-9 and _, not beginning with a digit", name)
		}
	}
	for _, prefix := range []string{"OTA_", "LD_"} {
		if strings.HasPrefix(name, prefix) {
			return fmt.Errorf("environment variable %q: names that begin with %s are taken", name, prefix)
		}
	}
	switch name {
	case "", "PATH", "LANG", "IFS", "ENV", "BASH_ENV", "NOTIFY_SOCKET":
		return fmt.Errorf("environment variable %q can't be set for a hook", name)
	}
	return nil
}

// environ is a hook's whole environment. Every OTA_ variable is always there, empty where nothing is known, so that
// a hook can run under "set -u".
func (r *Runner) environ(j agent.Job, m mark, custom string, extra ...string) []string {
	t := j.Release.Target
	length := ""
	if t.Path != "" {
		length = strconv.FormatInt(t.Length, 10)
	}
	env := slices.Clone(r.base)
	component := j.Env
	if component == nil {
		component = r.components[j.Component].Env
	}
	for _, name := range slices.Sorted(maps.Keys(component)) {
		env = append(env, name+"="+component[name])
	}
	env = append(env,
		"OTA_COMPONENT="+j.Component,
		"OTA_TARGET="+t.Path,
		"OTA_VERSION="+j.Release.Info().Version,
		"OTA_SHA256="+hex.EncodeToString(t.SHA256),
		"OTA_SHA512="+hex.EncodeToString(t.SHA512),
		"OTA_LENGTH="+length,
		"OTA_SLOT="+j.Slot,
		"OTA_ATTEMPT="+strconv.Itoa(j.Attempt),
		"OTA_CUSTOM="+custom,
		"OTA_INPUT=",
		m.variable(),
	)
	return append(env, extra...) // of two values of one name, os/exec takes the later
}

// writeCustom puts the signed custom JSON into a file that only this user reads, and returns its path; "" where
// there is none. The caller removes it.
func (r *Runner) writeCustom(j agent.Job) (path string, err error) {
	custom := j.Release.Target.Custom
	if len(custom) == 0 {
		return "", nil
	}
	if err := os.MkdirAll(r.runDir, 0o700); err != nil {
		return "", err
	}
	path = filepath.Join(r.runDir, "custom-"+j.Component+".json")
	// An agent that died may have left one. O_EXCL: a name that someone else put there is not followed.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", err
	}
	_, err = f.Write(custom)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		os.Remove(path)
		return "", err
	}
	return path, nil
}
