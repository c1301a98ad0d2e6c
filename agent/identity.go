package agent

import (
	"fmt"
	"log/slog"
)

// identify compares the device's ID with the one that the state was last written with, and tells where they
// differ: the broker and the fleet's books know the device by its ID, and a rollout's place, a group's topic
// and a certificate may hang on it. The next commit makes the new one durable, with its event.
func (e *engine) identify(log *slog.Logger) {
	e.book.id = e.cfg.Device.ID
	before := e.book.device().ID
	if before == "" || e.book.id == "" || before == e.book.id {
		return
	}
	e.idBefore = before
	text := fmt.Sprintf("the device's ID is %q now, and was %q when its state was last written", e.book.id, before)
	log.Warn("the device has another ID than before", "reason", ReasonIDChanged, "id", e.book.id, "before", before)
	e.book.outbox.tellAhead(EventIDChanged, ReasonIDChanged, text)
}
