package sim

import (
	"testing"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/ota-agent/ota-agent/storage/storetest"
)

// A reopenedDisk is a disk whose device lost its power between two openings.
type reopenedDisk struct{ *disk }

func (d reopenedDisk) Reopen(*testing.T) agent.Store {
	d.losePower()
	return d
}

func (d reopenedDisk) Fill(full bool) { d.full = full }

// reopenedImages is likewise.
type reopenedImages struct{ *images }

func (m reopenedImages) Reopen(*testing.T) agent.Images {
	m.start()
	return m
}

// TestContracts: the simulated store and image store promise what the real ones do.
func TestContracts(t *testing.T) {
	t.Parallel()
	r := publishAll(t, fine)
	world := func() *World { return NewWorld(Scenario{repo: r, unchecked: true}, 1, nil) }
	t.Run("store", func(t *testing.T) {
		storetest.Contract(t, func(*testing.T) agent.Store { return reopenedDisk{world().disk} })
	})
	t.Run("images", func(t *testing.T) {
		storetest.ImagesContract(t, func(*testing.T) agent.Images { return reopenedImages{world().disk.images} })
	})
}
