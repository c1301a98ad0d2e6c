package install

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/agent/files"
)

const (
	// markName is the variable that marks a hook's processes.
	markName = "OTA_RUN"
	// secretName is the file in RunDir that marks are made with. The agent's user alone may read it.
	secretName = "mark"
	// secretBytes can't be guessed.
	secretBytes = 32
	// secretFileBytesMax bounds that file: a boot ID, a space, and the secret in hex.
	secretFileBytesMax = 1 << 10
)

// A mark identifies the processes of a component's hooks. All children inherit it, also past the agent's
// death and past a change of their user. It holds for one session only, since a process that runs as a hook's
// user can read the hook's environment: what such a process copies is worth nothing in a session of its own.
type mark struct {
	session   int // of this agent
	component string
	secret    []byte
}

// mark makes the mark for the hooks that this agent starts.
func (r *Runner) mark(component string) (mark, error) {
	secret, err := r.secret()
	if err != nil {
		return mark{}, problem(agent.ReasonHookFailed, err, "component %s: can't keep what marks a hook's processes: %v", component, err)
	}
	session, err := unix.Getsid(0)
	if err != nil {
		session = 0 // can't happen for the calling process; 0 is nobody's session
	}
	return mark{session, component, secret}, nil
}

// proof is what nobody can make for a session who does not know the secret.
func (m mark) proof(session int) string {
	h := hmac.New(sha256.New, m.secret)
	h.Write([]byte(strconv.Itoa(session) + ":" + m.component))
	return hex.EncodeToString(h.Sum(nil))
}

func (m mark) variable() string {
	return markName + "=" + strconv.Itoa(m.session) + ":" + m.component + ":" + m.proof(m.session)
}

// marks reports whether a process with this environment, in this session, belongs to a hook of m's component,
// started by this agent or by one before it in this boot. A process that left the hook's session does not.
func (m mark) marks(environ []byte, session int) bool {
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		value, ok := bytes.CutPrefix(entry, []byte(markName+"="))
		if !ok {
			continue
		}
		rest, ok := bytes.CutPrefix(value, []byte(strconv.Itoa(session)+":"+m.component+":"))
		return ok && hmac.Equal(rest, []byte(m.proof(session)))
	}
	return false
}

// secret is read once, or drawn: anew in each boot, since nothing that runs is older.
func (r *Runner) secret() ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drawn != nil {
		return r.drawn, nil
	}
	path := filepath.Join(r.runDir, secretName)
	if text, err := files.ReadOwn(path, secretFileBytesMax); err == nil {
		if secret, ok := parseSecret(string(text), r.bootID); ok {
			r.drawn = secret
			return secret, nil
		}
	} // what can't be read, or is another boot's, is replaced: it vouches for nothing
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	if err := os.MkdirAll(r.runDir, 0o700); err != nil {
		return nil, err
	}
	if err := files.WriteOwn(path, []byte(r.bootID+" "+hex.EncodeToString(secret)+"\n")); err != nil {
		return nil, err
	}
	r.drawn = secret
	return secret, nil
}

func parseSecret(text, bootID string) ([]byte, bool) {
	digits, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n"), bootID+" ")
	secret, err := hex.DecodeString(digits)
	return secret, ok && err == nil && len(secret) == secretBytes
}
