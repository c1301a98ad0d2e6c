package agent

import "time"

// Verdicts of a gate.
const (
	VerdictOpen   = "open"
	VerdictClosed = "closed"
	// VerdictOverridden: it would be closed, and holds nothing back: the text says why.
	VerdictOverridden = "overridden"
	// VerdictUnasked: it is asked when all others are open, since that may cost something.
	VerdictUnasked = "unasked"
)

// GateStatus is one gate's verdict about a component.
type GateStatus struct {
	Gate string `json:"gate"`
	// Holds is what it holds back: "download", "install" or "both".
	Holds   string    `json:"holds"`
	Verdict string    `json:"verdict"`
	Since   time.Time `json:"since,omitzero"` // effective time, of this start of the agent
	Reason  Reason    `json:"reason,omitempty"`
	Text    string    `json:"text,omitempty"`
	Left    Seconds   `json:"left,omitempty"` // 0: until something else changes
	// Figure is what was measured, in words.
	Figure string `json:"figure,omitempty"`
}

// BudgetStatus is a day's byte budget.
type BudgetStatus struct {
	DayBytesMax int64 `json:"day_bytes_max"`
	// Spent came over the network today; after a start what was charged today, which may be somewhat more.
	Spent    int64   `json:"spent"`
	Left     int64   `json:"left"`
	RenewsIn Seconds `json:"renews_in"`
}

// StillGates are gates without the figures that move by themselves.
func StillGates(gates []GateStatus) []GateStatus {
	still := make([]GateStatus, len(gates))
	for i, g := range gates {
		g.Left, g.Figure = 0, ""
		still[i] = g
	}
	return still
}

// gateStatuses are the gates for the status document.
func gateStatuses(gates []gate) []GateStatus {
	var list []GateStatus
	for _, g := range gates {
		if g.Gate != gateLook {
			list = append(list, g.GateStatus)
		}
	}
	return list
}
