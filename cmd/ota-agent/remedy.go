package main

import "github.com/ota-agent/ota-agent/agent"

// remedies says of each reason what changes it: explain shows the text, and so does the last column of docs/status.md, which a test holds
// against this table (there with code in backticks).
var remedies = map[agent.Reason]string{
	agent.ReasonUnreachable:     "the device's network, or the server; it is tried again by itself",
	agent.ReasonTLS:             "a right clock (compare the certificate's dates with time.effective), another certificate, or ca in the config",
	agent.ReasonHTTP:            "the missing file, or the right URL or access rules; ota-agent check asks at once",
	agent.ReasonServerBusy:      "time; if it lasts, the server",
	agent.ReasonTooSlow:         "time: the download resumes; a lower rate_min for a very slow link",
	agent.ReasonTooLarge:        "the mirror, which serves something else under this name",
	agent.ReasonBadAnswer:       "the proxy or server that changes what it passes on",
	agent.ReasonCut:             "time: the download resumes",
	agent.ReasonNoMedium:        "the medium: plug it in, or mount it",
	agent.ReasonHung:            "time; if it lasts, the server, proxy, medium or sensor in between. Report it: a time-out of the agent's own should have come first",
	agent.ReasonCaptivePortal:   "somebody who logs in to the network",
	agent.ReasonUnsigned:        "the publisher, who must sign it; if it was signed, the mirror, which changed it",
	agent.ReasonRollback:        "the mirror, which is stale or hostile; or the publisher, who lost versions and must sign higher ones",
	agent.ReasonExpired:         "the publisher, who must sign a new one; a mirror that stopped following looks the same",
	agent.ReasonClockAhead:      "a right clock; if it is right, as for expired",
	agent.ReasonHashMismatch:    "the mirror, which serves other bytes, or a complete upload",
	agent.ReasonLengthMismatch:  "the mirror, which serves other bytes, or a complete upload",
	agent.ReasonVersionMismatch: "a complete upload: this one is incomplete or mixed",
	agent.ReasonMalformed:       "whoever made the file: the text says where it is wrong; another tool's bug, or a login page",
	agent.ReasonUnsupported:     "a newer agent",
	agent.ReasonNotListed:       "a release at this path, or the right target, channel or hardware in the config",
	agent.ReasonLimit:           "the publisher: the text names the limit",
	agent.ReasonWrongHardware:   "a release for this hardware, or the right hardware in the config",
	agent.ReasonIndexTooLow:     "a release with a higher index",
	agent.ReasonRequires:        "the update of the component that comes first",
	agent.ReasonRequiresCycle:   "a release of one of them without the requirement",
	agent.ReasonDiskFull:        "room on the disk: the text says for what",
	agent.ReasonReadOnly:        "mounting it for writing; a failing disk turns read-only by itself",
	agent.ReasonStore:           "the state directory: look at dmesg, and at owner and mode",
	agent.ReasonLocked:          "the end of the second agent, or of the command that reads",
	agent.ReasonInternal:        "a report of it: the text says what is known",
	agent.ReasonHookMissing:     "the hook, installed and executable, or its path in the config",
	agent.ReasonHookFailed:      "the hook: the text has what it printed; it is tried again by itself, and at once by ota-agent retry",
	agent.ReasonHookBusy:        "time; if it lasts, as for hook_failed",
	agent.ReasonHookRefused:     "a release that fits the device",
	agent.ReasonHookTimeout:     "the hook: make it faster, find out what it waits for, or give its verb more time in the config",
	agent.ReasonSlot:            "the slots: look at the hook's status and the bootloader, or reboot",
	agent.ReasonUnhealthy:       "a mended release with a new hash; ota-agent retry tries this one again",
	agent.ReasonNeverBooted:     "a release that boots and mounts the partition with the state, and a bootloader that obeys try: the device's console shows which is missing",
	agent.ReasonTrialNoRepo:     "a release that leaves the network alone, and whose config, anchor and floors fit it",
	agent.ReasonStateNew:        "a release that mounts the partition with the state (name it in state_mount); where that is meant to be so, state_lost = \"go_on\" in the config",
	agent.ReasonAgentDied:       "what ends the agent: find it in the journal (memory, a watchdog, a full disk, the release itself)",
	agent.ReasonWithdrawn:       "a new release",
	agent.ReasonRejected:        "a new release, or ota-agent retry",
	agent.ReasonHeld:            "a mended release, or ota-agent retry",
	agent.ReasonNoImage:         "time: it is fetched again; if it comes again, the disk: look at dmesg",
	agent.ReasonNoRollback:      "the older software, published as a new release",
	agent.ReasonOperator:        "a new release, or ota-agent retry",
	agent.ReasonBackoff:         "time, or ota-agent retry",
	agent.ReasonBusy:            "the end of the other update",
	agent.ReasonDegraded:        "a new release, or ota-agent retry",
	agent.ReasonRefreshFirst:    "the repository's answer",
	agent.ReasonTrial:           "time: it is under way",
	agent.ReasonRebooting:       "the reboot",
	agent.ReasonPaused:          "ota-agent resume",
	agent.ReasonRollout:         "time, and a recently signed timestamp; the publisher can shorten the rollout",
	agent.ReasonInhibited:       "removing the file; seen within a minute",
	agent.ReasonWindow:          "time, another window in the config, or defer_max; an urgent release with urgent_skips_windows",
	agent.ReasonClockUnsure:     "setting the clock by NTP or such; or defer_max in the config",
	agent.ReasonByteBudget:      "the next day in UTC, or a larger day_bytes_max in the config",
	agent.ReasonMetered:         "another link: the file goes away; or defer_max in the config",
	agent.ReasonBattery:         "power from outside, or a fuller battery; seen within a minute",
	agent.ReasonTemperature:     "cooling down; seen within a minute",
	agent.ReasonGateHook:        "the gate hook's next answer (ota-agent retry asks at once), or defer_max in the config",
	agent.ReasonLooking:         "a moment: it is under way",
}

// remedy says what changes a reason. One that only a newer agent knows has no words.
func remedy(r agent.Reason) string {
	if words, ok := remedies[r]; ok {
		return words
	}
	return "time, as a rule: docs/status.md of this agent's version explains it"
}
