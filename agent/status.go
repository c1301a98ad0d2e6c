package agent

import "time"

// StatusSchema is the version of the status document.
const StatusSchema = 1

// Status is the one status document: the same by CLI, socket and MQTT. Fields are only ever added.
type Status struct {
	Schema int `json:"schema"`
	// Seq rises with each document of a process, and Started from process to process of a boot: it is the
	// uptime at which this one began, in microseconds. (BootID, Started, Seq) names a document, and orders
	// those of a boot, at no write.
	Seq        uint64            `json:"seq"`
	Started    int64             `json:"started,omitempty"`
	Agent      string            `json:"agent"` // the agent's version
	Device     Device            `json:"device"`
	IDBefore   string            `json:"id_before,omitempty"` // the device's ID when its state was last written, where that was another one
	BootID     string            `json:"boot_id"`
	Time       TimeStatus        `json:"time"`
	Repository RepositoryStatus  `json:"repository"`
	MQTT       *BrokerStatus     `json:"mqtt,omitempty"` // nil: the config names no broker
	Paused     bool              `json:"paused,omitempty"`
	Components []ComponentStatus `json:"components"`
	Counters   Counters          `json:"counters"`
	// Abandoned counts the workers that the agent left behind since it started, because they hung.
	Abandoned uint64 `json:"abandoned,omitempty"`
	// Journal and LastEvent are the journal's name and the Seq of its newest event: of two boots' documents
	// the later one has the higher.
	Journal   string `json:"journal,omitempty"`
	LastEvent uint64 `json:"last_event,omitempty"`
	// LastFailure is why the process before this one ended, until this one has committed something.
	LastFailure *Problem `json:"last_failure,omitempty"`
	// Budget is the day's byte budget; nil where there is none.
	Budget *BudgetStatus `json:"budget,omitempty"`
	// Recovered says what the store had to repair or set aside at start.
	Recovered []string `json:"recovered,omitempty"`
}

// Device is who this device is. Each value is 1–64 of A–Z a–z 0–9 . _ - (Group may be empty).
type Device struct {
	ID       string `json:"id"`
	Hardware string `json:"hardware"`
	Group    string `json:"group,omitempty"`
	Channel  string `json:"channel"`
}

// TimeStatus is the effective time and where it came from.
type TimeStatus struct {
	Effective time.Time `json:"effective"`
	Source    string    `json:"source"` // "clock" or "floor"
	Floor     time.Time `json:"floor"`
}

// RepositoryStatus is the outcome of the last refresh.
type RepositoryStatus struct {
	URL string `json:"url"` // without user, password and query
	// Checks counts finished refreshes since the agent started, good or bad.
	Checks      uint64    `json:"checks"`
	LastSuccess time.Time `json:"last_success,omitzero"`
	LastProblem *Problem  `json:"last_problem,omitempty"` // of the last refresh; nil when it succeeded
	NextIn      Seconds   `json:"next_in"`
	// Credentials: an own key file can't be used, or is out of its time. What works without it goes on.
	Credentials *Problem `json:"credentials,omitempty"`
	// LastCheck is what was counted from the beginning of the last refresh to its end, with what ran beside
	// it; nil: none ended yet.
	LastCheck *Counters `json:"last_check,omitempty"`
	// Bandwidth is the cap on downloads, bytes per second; 0: none.
	Bandwidth int64        `json:"bandwidth,omitempty"`
	Roles     []RoleStatus `json:"roles,omitempty"`
}

// RoleStatus is a trusted role.
type RoleStatus struct {
	Role    string    `json:"role"`
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
}

// ComponentStatus is one component.
type ComponentStatus struct {
	Name    string `json:"name"`
	Phase   Phase  `json:"phase"`
	Booted  string `json:"booted,omitempty"`
	Primary string `json:"primary,omitempty"`
	// Running is what the booted slot holds, as far as that is known.
	Running ReleaseStatus `json:"running"`
	// Previous is what a rollback would go back to, as far as the record can tell, and NoRollback why it
	// would be refused now.
	Previous   *ReleaseStatus `json:"previous,omitempty"`
	NoRollback *Problem       `json:"no_rollback,omitempty"`
	// Release is what is being worked at.
	Release *ReleaseStatus `json:"release,omitempty"`
	Slot    string         `json:"slot,omitempty"` // the slot being written or tried
	// Condition is how the component stands: nil only where an older agent says nothing of it.
	Condition *Condition `json:"condition,omitempty"`
	// Waiting is why nothing is being done just now, in words, and until when.
	Waiting *Waiting `json:"waiting,omitempty"`
	// Gates are all that can hold this component back, in the order in which they are asked.
	Gates    []GateStatus `json:"gates,omitempty"`
	Progress *Progress    `json:"progress,omitempty"`
	Attempts int          `json:"attempts,omitempty"`
	// Spent is what was counted since the release was taken up, over all boots, as of its last step.
	Spent    *Counters   `json:"spent,omitempty"`
	Problem  *Problem    `json:"last_problem,omitempty"`
	Rejected []Rejection `json:"rejected,omitempty"`
	// Last is how the last update ended: "confirmed", "rejected" or "withdrawn", and of which release.
	Last *Outcome `json:"last,omitempty"`
}

// Waiting is a closed gate or a back-off.
type Waiting struct {
	Reason Reason  `json:"reason"`
	Text   string  `json:"text"`
	Left   Seconds `json:"left,omitempty"` // 0: until something else changes
	gate   string  // that is closed; empty: none
}

// looks reports whether a gate is only being asked.
func (w *Waiting) looks() bool { return w != nil && w.Reason == ReasonLooking }

// soaks reports whether a release is on trial.
func (w *Waiting) soaks() bool { return w != nil && w.Reason == ReasonTrial }

// An Outcome is how an update ended.
type Outcome struct {
	Verdict string        `json:"verdict"`
	Release ReleaseStatus `json:"release"`
	Problem *Problem      `json:"problem,omitempty"`
	Spent   *Counters     `json:"spent,omitempty"` // in the whole of it
}

// ReleaseStatus names a release.
type ReleaseStatus struct {
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256,omitempty"`
	Length  int64  `json:"length,omitempty"`
}

// Progress of a download. It is never written to flash.
type Progress struct {
	Done  int64 `json:"done"`  // bytes present
	Total int64 `json:"total"` // bytes of the image
	// ResumedFrom is how many bytes were there when this run of the download began.
	ResumedFrom int64   `json:"resumed_from"`
	Rate        int64   `json:"rate"` // bytes per second within the last ten seconds
	Left        Seconds `json:"left"` // at that rate; 0 when not known
}

// Seconds is a duration that JSON shows as whole seconds.
type Seconds int64

// secondsMax is a century and more: what is further off overflows a Duration.
const secondsMax Seconds = 1 << 32

// SecondsOf rounds up: a wait that is not over never shows as 0. One that is over does.
func SecondsOf(d time.Duration) Seconds {
	whole := Seconds(max(0, d) / time.Second)
	if d%time.Second > 0 {
		whole++
	}
	return whole
}

// Counters count since the agent started.
type Counters struct {
	Requests     int64 `json:"requests"`      // to the repository
	BytesFetched int64 `json:"bytes_fetched"` // bodies, as received
	BytesWritten int64 `json:"bytes_written"` // by the agent, to its state and image store
	Fsyncs       int64 `json:"fsyncs"`
	Commits      int64 `json:"commits"`
}

// since is what was counted after before.
func (c Counters) since(before Counters) Counters {
	return Counters{c.Requests - before.Requests, c.BytesFetched - before.BytesFetched, c.BytesWritten - before.BytesWritten,
		c.Fsyncs - before.Fsyncs, c.Commits - before.Commits}
}

func (c Counters) plus(d Counters) Counters {
	return Counters{c.Requests + d.Requests, c.BytesFetched + d.BytesFetched, c.BytesWritten + d.BytesWritten, c.Fsyncs + d.Fsyncs, c.Commits + d.Commits}
}
