package main

import (
	"fmt"
	"io"

	"github.com/ota-agent/ota-agent/agent"
	"github.com/schollz/progressbar/v3"
)

// A bar shows one download: redrawn in place on a terminal, one line a quarter elsewhere.
type bar struct {
	out     io.Writer
	what    string
	last    agent.Progress
	live    *progressbar.ProgressBar // nil where the output is no terminal
	quarter int64                    // quarters told so far
}

const (
	quarters = 4
	barWidth = 30 // characters
)

// progress shows a download as the agent's status tells it.
func (s *show) progress(what string, p agent.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Total <= 0 {
		return
	}
	if s.bar != nil && (s.bar.what != what || s.bar.last.Total != p.Total) {
		s.endBar()
	}
	if s.bar == nil {
		s.bar = newBar(s.out, s.live, what, p)
	}
	s.bar.set(p)
}

// progressEnds leaves the bar on the screen as it is; full, when the download has come to its end.
func (s *show) progressEnds(complete bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar == nil {
		return
	}
	if complete {
		p := s.bar.last
		p.Done = p.Total
		s.bar.set(p)
	}
	s.endBar()
}

// endBar goes on below the bar. s.mu is held.
func (s *show) endBar() {
	if s.bar.live != nil {
		_, _ = fmt.Fprintln(s.out)
	}
	s.bar = nil
}

func newBar(out io.Writer, live bool, what string, p agent.Progress) *bar {
	b := &bar{out: out, what: what, quarter: p.Done * quarters / p.Total}
	if live {
		b.live = progressbar.NewOptions64(p.Total,
			progressbar.OptionSetWriter(out),
			progressbar.OptionSetWidth(barWidth),
			progressbar.OptionSetPredictTime(false),
		)
	}
	return b
}

func (b *bar) set(p agent.Progress) {
	b.last = p
	text := fmt.Sprintf("  %-*s %s: %s of %s, %s/s", speakerWidth, "download", b.what, mib(p.Done), mib(p.Total), mib(p.Rate))
	if b.live != nil {
		b.live.Describe(text)
		_ = b.live.Set64(p.Done)
		return
	}
	if q := p.Done * quarters / p.Total; q > b.quarter {
		b.quarter = q
		_, _ = fmt.Fprintf(b.out, "%s, %d %%\n", text, 100*p.Done/p.Total)
	}
}

// hide makes room for a line; draw brings the bar back below it.
func (b *bar) hide() {
	if b.live != nil {
		_, _ = io.WriteString(b.out, "\r\x1b[2K")
	}
}

func (b *bar) draw() {
	if b.live != nil {
		_ = b.live.RenderBlank()
	}
}
