//go:build linux && amd64

package crash

import "testing"

// The agent dies at each of its own calls, in an update from release 1 to release 2 that is confirmed. Half of the
// points take the power along, which ends the hook's processes too; in the other half these live on.
func TestAgentDiesAtEachCallOfAnUpdate(t *testing.T) {
	c := newUpdate(t, false)
	c.run(t, c.deaths(), c.strikeDead)
}

// The power goes at each call of the agent and of the hook's processes: slots and boot environment are being written.
func TestPowerGoesAtEachCallOfAnUpdate(t *testing.T) {
	c := newUpdate(t, true)
	c.run(t, c.deaths(), c.strikeDead)
}

// The agent dies at each call of its first start, while it makes its store and begins at the trust anchor.
func TestAgentDiesAtEachCallOfItsFirstStart(t *testing.T) {
	l := newLab(t)
	one := l.publish(t, imageBytes)
	c := newCampaign(t, newBoard(t, l, one), one, false)
	c.run(t, c.deaths(), c.strikeDead)
}
