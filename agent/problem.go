package agent

import "time"

// A Reason is a stable code for what went wrong or what is waited for. Codes are never reused.
type Reason string

// The reason codes of failures. docs/status.md says of each what it means and what to do.
const (
	// Network and repository.
	ReasonUnreachable   Reason = "unreachable"      // name resolution, connect, reset, time-out
	ReasonTLS           Reason = "tls"              // certificate or handshake
	ReasonHTTP          Reason = "http_status"      // an answer that will not change by asking again (4xx)
	ReasonServerBusy    Reason = "server_busy"      // 408, 425, 429, 5xx
	ReasonTooSlow       Reason = "too_slow"         // stalled, or below the minimum rate
	ReasonTooLarge      Reason = "too_large"        // more bytes than the metadata allows
	ReasonBadAnswer     Reason = "bad_answer"       // an answer against the protocol: wrong range, compressed body
	ReasonCut           Reason = "cut"              // the body ended early
	ReasonNoMedium      Reason = "no_medium"        // the repository's directory is not there
	ReasonHung          Reason = "hung"             // what was asked neither answered nor failed; the worker was abandoned
	ReasonCaptivePortal Reason = "captive_portal"   // a login page where the repository was asked
	ReasonCredentials   Reason = "credentials"      // an own certificate, key, CA or password file that is missing, broken or expired
	ReasonProxy         Reason = "proxy_refused"    // a proxy's own answer: 407, or a refusal to connect
	ReasonPayment       Reason = "payment_required" // 402: the network's, or the server's
	// The broker, which delays nothing but wakes.
	ReasonBrokerRefused Reason = "broker_refused" // it does not let this client in: password, rights, client ID
	ReasonThrownOut     Reason = "thrown_out"     // it lets this client in and ends the session soon, time after time
	ReasonTopicDenied   Reason = "topic_denied"   // it refuses a subscription
	// Trust.
	ReasonUnsigned        Reason = "unsigned"
	ReasonRollback        Reason = "rollback"
	ReasonExpired         Reason = "expired"
	ReasonClockAhead      Reason = "clock_ahead"
	ReasonHashMismatch    Reason = "hash_mismatch"
	ReasonLengthMismatch  Reason = "length_mismatch"
	ReasonVersionMismatch Reason = "version_mismatch"
	ReasonMalformed       Reason = "malformed"
	ReasonUnsupported     Reason = "unsupported"
	ReasonNotListed       Reason = "not_listed"
	ReasonLimit           Reason = "limit_exceeded"
	ReasonWrongHardware   Reason = "wrong_hardware"
	ReasonIndexTooLow     Reason = "rollback_index"
	ReasonRequires        Reason = "requires"
	ReasonRequiresCycle   Reason = "requires_cycle" // releases that wait for each other
	// Store.
	ReasonDiskFull Reason = "disk_full"
	ReasonReadOnly Reason = "read_only"
	ReasonStore    Reason = "store"
	ReasonLocked   Reason = "locked"
	ReasonInternal Reason = "internal" // none of these: the text says what is known
	// Hook and trial.
	ReasonHookMissing Reason = "hook_missing"
	ReasonHookFailed  Reason = "hook_failed"
	ReasonHookBusy    Reason = "hook_busy"
	ReasonHookRefused Reason = "hook_refused"
	ReasonHookTimeout Reason = "hook_timeout"
	ReasonSlot        Reason = "slot" // the slots are not as they must be
	ReasonUnhealthy   Reason = "unhealthy"
	ReasonNeverBooted Reason = "never_booted"
	ReasonTrialNoRepo Reason = "trial_unreachable"
	ReasonIDChanged   Reason = "id_changed" // the device has another ID than when the state was last written
	ReasonStateNew    Reason = "state_new"  // a release on trial found an empty state
	ReasonTrialCut    Reason = "trial_cut_short"
	ReasonAgentDied   Reason = "agent_died" // again and again, in a trial
	ReasonWithdrawn   Reason = "withdrawn"
	ReasonRejected    Reason = "rejected"
	ReasonHeld        Reason = "held"
	ReasonNoImage     Reason = "no_image" // the staged image is gone, or can't be read
	// ReasonNoRollback: there is nothing to go back to. ReasonOperator is the verdict on a release that an operator left.
	ReasonNoRollback Reason = "no_rollback"
	ReasonOperator   Reason = "operator_rollback"
	// ReasonCancelled is the verdict on a release whose update an operator cancelled. ReasonNoUpdate: there
	// is none to cancel.
	ReasonCancelled Reason = "cancelled"
	ReasonNoUpdate  Reason = "no_update"
)

// The reason codes of waiting.
const (
	ReasonBackoff      Reason = "backoff"
	ReasonBusy         Reason = "busy"          // another component is being updated
	ReasonDegraded     Reason = "degraded"      // the bootloader fell back from a confirmed release
	ReasonRefreshFirst Reason = "refresh_first" // the repository is asked once more before try
	ReasonTrial        Reason = "on_trial"
	ReasonRebooting    Reason = "rebooting"
	// ReasonRebootPending: it was ordered and does not come.
	ReasonRebootPending Reason = "reboot_pending"
	ReasonPaused        Reason = "paused"
	ReasonRollout       Reason = "rollout"
	ReasonInhibited     Reason = "inhibited"    // by a file
	ReasonWindow        Reason = "window"       // outside of the maintenance windows
	ReasonClockUnsure   Reason = "clock_unsure" // windows need a synchronised clock
	ReasonByteBudget    Reason = "byte_budget"
	ReasonMetered       Reason = "metered"
	ReasonBattery       Reason = "battery"
	ReasonTemperature   Reason = "temperature"
	ReasonGateHook      Reason = "gate_hook"
	ReasonLooking       Reason = "looking" // at the surroundings, or asking the gate hook
)

// A Problem is an error for people and programs: what happened, to what, and what to do.
type Problem struct {
	Reason Reason `json:"reason"`
	// Text is one line: what, where, expected, seen, what to do. It holds no secret and no query string.
	Text string `json:"text"`
	// At is the effective time; zero where it is not known.
	At time.Time `json:"at,omitzero"`
	// RetryAfter is what the server or hook asked for, or 0. It is capped before use.
	RetryAfter time.Duration `json:"-"`
	// Elsewhere: a mirror, or an address, is left that does not rest, so asking again at once is worth it.
	Elsewhere bool `json:"-"`
	// Err is the cause, or nil.
	Err error `json:"-"`
}

func (p *Problem) Error() string { return p.Text }
func (p *Problem) Unwrap() error { return p.Err }
