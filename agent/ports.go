package agent

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/ota-agent/ota-agent/verifier"
)

// ErrAbsent says that a file, document or image does not exist. It is an answer, not a failure.
var ErrAbsent = errors.New("absent")

// ErrNothingWritten says that a Commit was refused as a whole: what was durable before is all there is, and
// the store goes on.
var ErrNothingWritten = errors.New("nothing was written")

// A Repository hands over files that are trusted with nothing. Errors other than ErrAbsent are *Problem where
// the cause is known.
type Repository interface {
	// Metadata reads one metadata file by its encoded name (verifier.Request.Name). It fails with
	// reason TooLarge rather than return more than bytesMax bytes, and with ErrAbsent only where the repository
	// itself says that there is no such file (HTTP 404, 403, 410).
	Metadata(ctx context.Context, name string, bytesMax int64) ([]byte, error)
	// Image opens an image file. The caller closes the body.
	Image(ctx context.Context, r ImageRequest) (ImageBody, error)
	// MetadataAccepted says that what Metadata returned last verified. Who did that stands in this network,
	// and speaks for itself.
	MetadataAccepted()
	// MetadataSource names the mirror that Metadata was answered by last, without secrets; empty: none was.
	MetadataSource() string
	// ImageSource names those whose bytes the image of this name may hold since it began at byte 0.
	ImageSource(name string) string
	// MetadataRefused and ImageRefused say that what was handed over last (of the image of that name: several may be under
	// way) did not verify: where there are several mirrors, that one rests for hours. They return whether another one is
	// left that does not rest: then asking again at once is worth it, from the beginning.
	MetadataRefused() (elsewhere bool)
	ImageRefused(name string) (elsewhere bool)
	// Local is true where what Metadata returned last came without a network (a directory, a USB stick): a release found
	// that way needs no reachability in its trial.
	Local() bool
}

// An ImageRequest asks for an image's bytes from From to its end.
type ImageRequest struct {
	// Name is verifier.Target.Name, unescaped.
	Name string
	// From is the first byte wanted, Length the whole image's length; bytes.
	From, Length int64
	// Validator is the strong validator that came with the bytes before From, or empty. A repository that can
	// not prove that the file is still the same one answers from 0.
	Validator string
}

// An ImageBody streams an image. It never yields more than Length-From bytes; a body that ends early or stalls
// fails with a *Problem.
type ImageBody struct {
	io.ReadCloser
	// From is where the body begins: the request's From, or 0 when it starts over.
	From int64
	// Validator is the file's strong validator, or empty.
	Validator string
}

// A Store keeps what must survive. Commit is its one write verb: one transaction, one crash point. What
// Commit returned nil for is durable. A Commit whose error wraps ErrNothingWritten was refused: with reason
// Limit as beyond a bound, with reason DiskFull because a large document, or a delegated role's, found no
// room. After any other error its outcome is unknown, and the process must end and load again.
type Store interface {
	Load() (State, error)
	// Document reads stored metadata, byte for byte as received. ErrAbsent where there is none, or where it
	// is damaged: the verifier then asks the repository again. After any other error the process must end and load again.
	Document(k verifier.Key) ([]byte, error)
	// Commit makes c durable. An empty change writes nothing.
	Commit(c Change) error
}

// A Change is everything that one Commit makes durable, all or nothing; its floors are durable before
// anything counts that they vouch for.
type Change struct {
	Metadata verifier.Change
	// Records replaces the records of these components.
	Records []Record
	Time    *TimeFloor
	Device  *DeviceState
	// Events puts these into the journal, each under its Seq, and DropEvents drops those with these.
	Events     []Event
	DropEvents []uint64
	Journal    *JournalMark
}

// State is what Load found.
type State struct {
	Floors  verifier.Floors
	Records map[string]Record
	Time    TimeFloor
	Device  DeviceState
	// Delegated are the documents of delegated roles, damaged or not.
	Delegated []verifier.Key
	// Events is the journal, in the order of Seq; Journal.Last is not below the Seq of any event that the store holds,
	// also of those that it can't read.
	Events  []Event
	Journal JournalMark
	// Recovered says in words what had to be repaired or set aside at start; nil when nothing was.
	Recovered []string
	// New: this state began where nothing was, neither records nor floors; those of a database that was lost
	// are. So the device is fresh from the factory, or what it remembers lies elsewhere, as on a partition
	// that did not mount.
	New bool
}

// DeviceState is what concerns the whole device and must survive a restart.
type DeviceState struct {
	// Paused: the operator asked for it.
	Paused bool `json:"paused,omitempty"`
	// ID is the device's, as the config had it when this was written.
	ID    string   `json:"id,omitempty"`
	Spent Spending `json:"spent,omitzero"`
}

// Images keeps image files, named by verifier.Target.ID. It never shows unverified bytes under a final name.
type Images interface {
	// Partial opens the partial file of an image, creating it if there is none. It reserves t.Length bytes
	// without changing the file's size, and fails with reason DiskFull before writing anything when what is
	// missing plus the reserve does not fit. One partial of an image is open at a time. Who asks has found
	// the staged image of no use: it goes where there is no room for both.
	Partial(t verifier.Target) (Partial, error)
	// Open opens a staged image; ErrAbsent where there is none. Its path is for hooks that need one.
	Open(t verifier.Target) (Image, error)
	// Keep removes every image and partial but those of keep. Removing nothing writes nothing.
	Keep(keep []verifier.Target) error
}

// A Partial is an image on its way. Size only ever counts bytes that were flushed: they are there after a power
// cut.
type Partial interface {
	// Size is the number of durable bytes, which a download resumes after.
	Size() int64
	// Validator is what SetValidator kept, or empty. One that can't be kept (no UTF-8, too long) is dropped,
	// and is no error: a mirror chose it, and would fail the download at each attempt.
	Validator() string
	SetValidator(v string) error
	// Durable reads the durable bytes from the start, for hashing them again.
	Durable() io.Reader
	// Write appends. A write that fails leaves Size as it was.
	io.Writer
	// Flush makes what was written durable.
	Flush() error
	// Restart drops all bytes.
	Restart() error
	// Stage makes the verified bytes durable under their final name: fsync, rename, directory fsync. It
	// refuses a v that is not OK or that is for another target, and then leaves the partial as it is.
	Stage(v verifier.Verified) error
	Close() error
}

// An Image is a staged image, open for reading.
type Image interface {
	io.ReadSeekCloser
	Path() string
}

// An Installer speaks the hook protocol (docs/hooks.md). Errors are *Problem: HookBusy for exit 75, HookRefused for
// exit 65, HookFailed, HookTimeout, HookMissing.
type Installer interface {
	Status(ctx context.Context, j Job) (Slots, error)
	// Install writes a verified image to j.Slot. It refuses a zero v and a booted or mounted slot, and hashes
	// the image again on its way to the hook.
	Install(ctx context.Context, j Job, v verifier.Verified, image Image) error
	// Do runs any other verb.
	Do(ctx context.Context, verb Verb, j Job) error
	// Running is what runs for a component right now; false for nothing. It may be called at any time, also
	// while a hook runs.
	Running(component string) (HookRun, bool)
}

// A HookRun is a hook, a check or a gate hook that runs.
type HookRun struct {
	Verb    Verb
	Elapsed time.Duration
	// Limit is the time after which it is stopped.
	Limit time.Duration
	// Percent is how far it says it has come, 0 to 100; -1 while it has not said so.
	Percent int
}

// A Verb is a hook's first argument.
type Verb string

// The verbs beside status and install. Each may be repeated: doing it again changes nothing.
const (
	// VerbVerify checks that j.Slot holds j's image, by the hash that the hook prints.
	VerbVerify Verb = "verify"
	// VerbTry boots j.Slot once, next time.
	VerbTry Verb = "try"
	// VerbConfirm makes j.Slot primary and good.
	VerbConfirm Verb = "confirm"
	// VerbReject marks j.Slot bad and makes the other primary.
	VerbReject Verb = "reject"
	// VerbGate asks the config's gate hook whether j.Slot ("download" or "install") may go on now: HookBusy is no.
	VerbGate Verb = "gate"
	// VerbHealth judges the running release: the hook, the directory of checks and the built-in checks.
	VerbHealth Verb = "health"
)

// A Job tells a hook what it is about.
type Job struct {
	Component string
	// Hook is the executable's path, and Env what the config, or the record of an update, adds to its environment.
	Hook string
	Env  map[string]string
	// Slot is the verb's argument; empty for status.
	Slot    string
	Release Release
	Attempt int
}

// Slots is what a hook's status says. Slot names are the hook's.
type Slots struct {
	Booted  string          `json:"booted"`
	Primary string          `json:"primary"`
	Slots   map[string]Slot `json:"slots"`
	// InputPath is true where install must be given a path rather than a stream.
	InputPath bool `json:"input_path,omitempty"`
}

// A Slot is one of two places a release can be in.
type Slot struct {
	Good    bool   `json:"good"`
	Version string `json:"version,omitempty"`
	// SHA256 is the hex hash of the image that the slot holds, or empty where the hook can't tell.
	SHA256 string `json:"sha256,omitempty"`
}

// Inactive is the slot that is not booted, or "" where that is not one slot exactly.
func (s Slots) Inactive() string {
	other := ""
	for name := range s.Slots {
		if name == s.Booted {
			continue
		}
		if other != "" {
			return ""
		}
		other = name
	}
	return other
}

// A System is the machine under the agent.
type System interface {
	// BootID changes with each boot and only then.
	BootID() string
	// Uptime counts from boot and through a suspend (CLOCK_BOOTTIME).
	Uptime() time.Duration
	// Clock reads the system clock and whether the kernel calls it synchronised.
	Clock() (now time.Time, synchronised bool)
	// Reboot syncs and asks for a reboot. It returns before the machine is down.
	Reboot(ctx context.Context) error
}

// A Wake is a hint that there may be something new. It never chooses what is installed.
type Wake struct {
	// Source is for the log: "mqtt", "timer", "cli", "medium".
	Source string
	// Medium: a medium with a repository was plugged in. Downloads that wait after a failure try it at once.
	Medium bool
	// Nonce and Spread place this device within the fleet's spread: it waits hash(device ID, Nonce) mod Spread.
	Nonce  string
	Spread time.Duration
}
