package agent

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/release"
	"github.com/ota-agent/ota-agent/verifier"
)

// RecordSchema is the version of Record's stored form.
const RecordSchema = 1

// A Phase is how far a component has come with a release. Phases are stored as these strings.
type Phase string

// The phases, in their order; Rejecting is the way back.
const (
	Idle       Phase = "idle"
	Fetching   Phase = "fetching"
	Staged     Phase = "staged"
	Writing    Phase = "writing"
	Switched   Phase = "switched"
	Trial      Phase = "trial"
	Confirming Phase = "confirming"
	Rejecting  Phase = "rejecting"
)

// A Release is what a component is to run: a target file and what its signed custom object says.
type Release struct {
	Target verifier.Target `json:"target"`
	// ImageSHA256 is the hex hash of the verified image, from staged on: metadata may list only SHA-512.
	ImageSHA256 string `json:"image_sha256,omitempty"`
	// Signers signed the role that lists the target; they bind the rollback_index floor.
	Signers []verifier.KeyHash `json:"signers,omitempty"`
}

// ID names a release: the hash of its image.
func (r Release) ID() string { return r.Target.ID() }

// SHA256 is the hex SHA-256 of the image, or "" where the metadata lists only SHA-512 and the image was not yet
// seen.
func (r Release) SHA256() string {
	if len(r.Target.SHA256) > 0 {
		return hex.EncodeToString(r.Target.SHA256)
	}
	return r.ImageSHA256
}

// as is r for an image that is known: that of held, which has the same ID.
func (r *Release) as(held *Release) *Release {
	again := *r
	again.ImageSHA256 = held.ImageSHA256
	return &again
}

// spent is what the update under way was counted for, or nil.
func (r *Record) spent() *Counters {
	if r.Spent == (Counters{}) {
		return nil
	}
	spent := r.Spent
	return &spent
}

// saysAs reports whether the publisher says the same of both, by the same keys.
func (r *Release) saysAs(other *Release) bool {
	return bytes.Equal(r.Target.Custom, other.Target.Custom) && slices.Equal(r.Signers, other.Signers)
}

// Info is the release's signed custom.ota object. It was checked when the release was taken up; the zero Info
// stands for one that can't be read any more.
func (r Release) Info() release.Info {
	i, err := release.Parse(r.Target.Custom)
	if err != nil {
		return release.Info{}
	}
	return i
}

// A Record is all that is kept about one component. It carries its own hook, reboot flag and what else of the
// config an update needs to come to its end: they govern until the component is idle again, whatever the
// config says meanwhile.
type Record struct {
	Schema    int    `json:"schema"`
	Component string `json:"component"`
	Phase     Phase  `json:"phase"`
	// Release is what is being worked at; nil when idle.
	Release *Release `json:"release,omitempty"`
	Hook    string   `json:"hook,omitempty"`
	Reboot  bool     `json:"reboot,omitempty"`
	Carried Carried  `json:"carried,omitzero"`
	// TargetSlot is the slot that is written and tried; from writing on.
	TargetSlot string `json:"target_slot,omitempty"`
	// BootID is the boot in which the phase was entered; from switched on.
	BootID string `json:"boot_id,omitempty"`
	// TrialFrom is the uptime at which the trial began, in boot BootID, or at which an agent found it without
	// one; 0: an older agent noted none.
	TrialFrom time.Duration `json:"trial_from,omitempty"`
	// Starts, in trial, counts how often an agent started anew in it.
	Starts int `json:"starts,omitempty"`
	// Acted: the hook's verb of this phase has succeeded in boot BootID: try in switched, reject in rejecting.
	Acted bool `json:"acted,omitempty"`
	// Begun is the boot in which the hook's try, or reject, was begun of a component that needs no reboot,
	// until it is known what came of it: where the component is the agent itself, the verb ends the process.
	Begun string `json:"begun,omitempty"`
	// Local: the refresh before try needed no network, so the trial need not reach it either.
	Local bool `json:"local,omitempty"`
	// Attempts counts failed hook runs and trials since the release was taken up, for back-off only.
	Attempts int `json:"attempts,omitempty"`
	// LostBoots counts the trial boots in a row of which the agent never recorded the start; in rejecting, the reboots
	// that were ordered because the hook could not go back and, once it could, the boots that led into the slot again.
	LostBoots int `json:"lost_boots,omitempty"`
	// BlindBoots, in switched, counts the reboots that were ordered because the hook never said which slot
	// was booted; in idle, those that were to lead out of a slot that found an empty state.
	BlindBoots int `json:"blind_boots,omitempty"`
	// RebootedIn is the boot in which a reboot was ordered last: one that does not come is asked for again,
	// and counts once.
	RebootedIn string `json:"rebooted_in,omitempty"`
	// Back: the release lies in TargetSlot already, and a rollback goes back to it; the repository need not name it.
	Back bool `json:"back,omitempty"`
	// Offline, in a rollback: the release that is left did not reach the repository right before, so the trial need not.
	Offline bool `json:"offline,omitempty"`
	// Unreached, in a rollback, counts the trials that did not reach the repository, although the release
	// that is left had.
	Unreached int `json:"unreached,omitempty"`
	// Verdict, in rejecting, is why; nil brings the old release back without a verdict, and Cause is then
	// why, to tell people.
	Verdict *Problem `json:"verdict,omitempty"`
	Cause   *Problem `json:"cause,omitempty"`
	// Unreachable, after a trial that was given up: the release to count it against if the
	// old release can.
	Unreachable string `json:"unreachable,omitempty"`
	// UnreachableBoot is the boot in which that is found out: the one in which the old release was back.
	UnreachableBoot string `json:"unreachable_boot,omitempty"`

	// Spent is what the agent's counters say of this update: of all its boots, and of what ran beside it.
	Spent Counters `json:"spent,omitzero"`

	// Setback is the release that came back last, without a verdict: while it is on offer it is taken up
	// again ever more seldom.
	Setback Setback `json:"setback,omitzero"`

	// Cuts counts the trials in a row that were cut short.
	Cuts Cuts `json:"cuts,omitzero"`
	// Confirmed is the last release that was confirmed, and the slot it is in; nil on a fresh device.
	Confirmed     *Release `json:"confirmed,omitempty"`
	ConfirmedSlot string   `json:"confirmed_slot,omitempty"`
	// Degraded: the bootloader went back from ConfirmedSlot, and an event told of it.
	Degraded bool `json:"degraded,omitempty"`
	// Doubted, in idle: a slot that boots only for its trial found an empty state, and an event told of it.
	Doubted bool `json:"doubted,omitempty"`
	// Previous is the release that was confirmed before, and its slot: what a rollback goes back to. It ends
	// when that slot is ordered to be written.
	Previous     *Release `json:"previous,omitempty"`
	PreviousSlot string   `json:"previous_slot,omitempty"`
	// Unlisted is the target path that the repository does not list, once an event has told of it; empty: it
	// lists it, or was not asked.
	Unlisted string `json:"unlisted,omitempty"`
	// RollbackAsked and RetryAsked are what the operator asked for, until it is done.
	RollbackAsked bool `json:"rollback_asked,omitempty"`
	// CancelAsked, likewise: it ends with the update that it is about.
	CancelAsked bool `json:"cancel_asked,omitempty"`
	RetryAsked  bool `json:"retry_asked,omitempty"`
	// Rejected and Held remember releases by ID, newest last, at most RememberedMax each.
	Rejected []Rejection `json:"rejected,omitempty"`
	Held     []Hold      `json:"held,omitempty"`
	// Deferral is for how long gates have held updates back.
	Deferral Deferral `json:"deferral,omitzero"`
}

// Carried is what else the config said of the component when its update began. Agents of before carried nothing of it.
type Carried struct {
	// Env is the whole of the hook's own environment: without it a hook may find neither its slots nor its
	// way back. It is as secret as the config, so it lies in the state directory alone, which only the
	// agent's user can read, and only while an update is under way: no status, event or log shows it.
	Env map[string]string `json:"env,omitempty"`
	// Deadline, Settle and Every are the trial's, for when the config no longer names the component.
	Deadline time.Duration `json:"deadline,omitempty"`
	Settle   time.Duration `json:"settle,omitempty"`
	Every    time.Duration `json:"every,omitempty"`
}

// carried is what an update of c takes with it.
func (c *Component) carried() Carried {
	return Carried{Env: c.Env, Deadline: c.TrialDeadline, Settle: c.TrialSettle, Every: c.HealthEvery}
}

// trialOf is the config's component or, where that no longer names it, as much of it as the record carries.
func trialOf(c *Component, r *Record) *Component {
	if c != nil {
		return c
	}
	return &Component{Name: r.Component, TrialDeadline: r.Carried.Deadline, TrialSettle: r.Carried.Settle, HealthEvery: r.Carried.Every}
}

// why is what began the way back, or nil where an older agent noted nothing.
func (r *Record) why() *Problem { return cmp.Or(r.Verdict, r.Cause) }

// RememberedMax bounds the rejected and held releases that a record remembers; a flood forgets the oldest.
const RememberedMax = 16

// A Rejection remembers a release that must not be tried again.
type Rejection struct {
	ID      string  `json:"id"`
	Version string  `json:"version,omitempty"`
	First   Problem `json:"first"`
	Last    Problem `json:"last"`
	Count   int     `json:"count"`
}

// A Hold keeps back a release whose trials were given up.
type Hold struct {
	ID    string    `json:"id"`
	Count int       `json:"count"`
	Until time.Time `json:"until,omitzero"` // effective time; zero while Count is below its limit
	// Reason is what was counted; empty: trials that could not reach the repository.
	Reason Reason `json:"reason,omitempty"`
}

// A Setback counts how often in a row a release came back without a verdict.
type Setback struct {
	ID    string `json:"id"`
	Count int    `json:"count"`
}

// TimeFloor is the durable part of the effective time: never a clock reading.
type TimeFloor struct {
	// SignedAt is the publisher's time in a trusted timestamp: the one that, with Accrued, is not below any other's.
	SignedAt time.Time `json:"signed_at,omitzero"`
	// Signers are the keys that signed it: when they no longer meet the timestamp role's threshold, the floor is void.
	// Agents of before kept none.
	Signers []verifier.KeyHash `json:"signers,omitempty"`
	// Accrued is the uptime since SignedAt was learned, as far as it was made durable.
	Accrued time.Duration `json:"accrued,omitempty"`
	// Built is the build time of the agent that ran last, and Ran the uptime that it has run for, as far as
	// it was made durable: what there is to go by where no publisher signs the time, or none has since the
	// build. Agents of before kept neither.
	Built time.Time     `json:"built,omitzero"`
	Ran   time.Duration `json:"ran,omitempty"`
	// BootID and At say in which boot, and at which uptime, Accrued and Ran were brought up to date; the uptime after At
	// in this boot, and all of the uptime in a later one, comes on top.
	BootID string        `json:"boot_id,omitempty"`
	At     time.Duration `json:"at,omitempty"`
}
