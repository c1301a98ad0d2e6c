package main

import (
	"fmt"
	"io"
	"time"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/schollz/progressbar/v3"
)

// A bar shows one download: redrawn in place on a terminal, one line a quarter elsewhere.
type bar struct {
	show    *show
	live    *progressbar.ProgressBar // nil where the output is no terminal
	total   int64
	quarter int64 // quarters told so far
}

const quarters = 4

// progress shows a download as the agent's status tells it; nil ends the bar.
func (s *show) progress(what string, p *agent.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case p == nil || p.Total <= 0:
		s.endBar()
		return
	case s.bar != nil && s.bar.total != p.Total:
		s.endBar()
	}
	if s.bar == nil {
		s.bar = newBar(s, what, p)
	}
	s.bar.set(what, p)
}

// endBar leaves the last state of the bar on the screen. s.mu is held.
func (s *show) endBar() {
	if s.bar != nil && s.bar.live != nil {
		_, _ = fmt.Fprintln(s.out)
	}
	s.bar = nil
}

func newBar(s *show, what string, p *agent.Progress) *bar {
	b := &bar{show: s, total: p.Total, quarter: p.Done * quarters / p.Total}
	if s.live {
		b.live = progressbar.NewOptions64(p.Total,
			progressbar.OptionSetWriter(s.out),
			progressbar.OptionSetDescription(fmt.Sprintf("  %-*s %s", speakerWidth, "download", what)),
			progressbar.OptionShowBytes(true),
			progressbar.OptionUseIECUnits(true),
			progressbar.OptionSetWidth(40),
			progressbar.OptionThrottle(50*time.Millisecond),
		)
	}
	return b
}

func (b *bar) set(what string, p *agent.Progress) {
	if b.live != nil {
		_ = b.live.Set64(p.Done)
		return
	}
	if q := p.Done * quarters / p.Total; q > b.quarter {
		b.quarter = q
		_, _ = fmt.Fprintf(b.show.out, "  %-*s %s %3d %%, %s of %s\n",
			speakerWidth, "download", what, 100*p.Done/p.Total, mib(p.Done), mib(p.Total))
	}
}

func (b *bar) hide() {
	if b.live != nil {
		_, _ = io.WriteString(b.show.out, "\r\x1b[2K")
	}
}

func (b *bar) draw() {
	if b.live != nil {
		_ = b.live.RenderBlank()
	}
}
