package sim

import (
	"encoding/json"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/verifier"
)

// checkConditions: nobody reads that there is nothing to do where the device does not run, for good, what the
// metadata names that it trusts, nor that nothing is named where something is.
func (w *World) checkConditions(s agent.Status) {
	if w.unchecked {
		return
	}
	for _, c := range s.Components {
		if c.Condition == nil || c.Condition.Text == "" {
			w.breach("%s: the status says nothing of how it stands", c.Name)
			continue
		}
		b, named := w.boards[c.Name], w.named(c.Name)
		switch booted := b.slots[b.booted]; c.Condition.Code {
		case agent.ConditionCurrent:
			if c.Phase != agent.Idle || b.primary != b.booted || !booted.good || named != nil && !named[hash(booted.image)] {
				w.breach("%s: the status says that it is up to date; it is %s, slot %s is booted, %s primary, good is %t, and it holds %.20q",
					c.Name, c.Phase, b.booted, b.primary, booted.good, booted.image)
			}
		case agent.ConditionUnlisted:
			if len(named) > 0 {
				w.breach("%s: the status says that the repository names nothing, and it does", c.Name)
			}
		}
	}
}

// named are the hashes of the images that the stored targets roles list for a component; nil: none of them can be read.
func (w *World) named(component string) map[string]bool {
	var named map[string]bool
	for k, raw := range w.disk.documents {
		if k.Kind == verifier.Receipt || k.Role != verifier.Targets && !k.Delegated() {
			continue
		}
		var role struct {
			Signed struct {
				Targets map[string]struct {
					Hashes struct {
						SHA256 string `json:"sha256"`
					} `json:"hashes"`
				} `json:"targets"`
			} `json:"signed"`
		}
		if json.Unmarshal(raw, &role) != nil {
			return nil // rotten, and fetched again when it is needed
		}
		if named == nil {
			named = map[string]bool{}
		}
		for _, x := range w.settings.Components {
			if t, ok := role.Signed.Targets[x.TargetPath(w.settings.Device)]; ok && x.Name == component {
				named[t.Hashes.SHA256] = true
			}
		}
	}
	return named
}
