package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"time"

	"github.com/ota-agent/ota-agent/agent"
)

// A Repository is an agent.Repository. It is safe for concurrent use.
type Repository struct {
	metadata, targets mirrors
	media             *media
	aides             *aides
	wire              *wire
	throttle          *throttle
	log               *slog.Logger
}

var _ agent.Repository = (*Repository)(nil)

// Counters count since New.
type Counters struct {
	// Requests sent, each redirect included; a directory sends none.
	Requests int64
	// BodyBytes received over the network, whatever became of them.
	BodyBytes int64
}

// New fails where c is out of bounds or a key file can't be used. It does not touch the network.
func New(c Config) (*Repository, error) { return build(c, outside{}) }

func build(c Config, o outside) (*Repository, error) {
	c, err := c.complete()
	if err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	r := &Repository{throttle: newThrottle(c.BandwidthMax), log: c.Log}
	r.aides = &aides{start: c.Aide, log: c.Log}
	r.media = &media{log: c.Log, aides: r.aides, shelf: r.shelf(c), refused: r.refused, restsUntil: r.targets.restsUntil, shies: map[string]shyness{}}
	if r.media.places, err = parsePlaces(c.Media); err != nil {
		return nil, fmt.Errorf("repository: media: %w", err)
	}
	r.metadata.log, r.targets.log = c.Log, c.Log
	r.metadata.media, r.targets.media, r.targets.mediaFirst = r.media.metadata, r.media.targets, true
	hosts := map[string]bool{}
	if r.wire, err = newWire(c, hosts, o); err != nil {
		return nil, fmt.Errorf("repository: %w", err)
	}
	for _, l := range []struct {
		name string
		urls []string
		to   *mirrors
	}{{"metadata", c.Metadata, &r.metadata}, {"targets", c.Targets, &r.targets}} {
		for _, s := range l.urls {
			src, err := r.source(c, s, hosts)
			if err != nil {
				return nil, fmt.Errorf("repository: %s: %w", l.name, err)
			}
			l.to.list = append(l.to.list, &mirror{source: src, health: &health{}})
		}
	}
	return r, nil
}

// source makes a mirror of a base URL. An error never shows the URL whole: it may hold a password.
func (r *Repository) source(c Config, s string, hosts map[string]bool) (source, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("not a URL; want http://, https:// or file:///")
	}
	switch {
	case u.Scheme == "file":
		shelf := r.shelf(c)
		shelf.directory, err = newDirectory(u)
		return &shelf, err
	case (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "":
		hosts[u.Host] = true
		return &server{base: u, wire: r.wire, throttle: r.throttle}, nil
	}
	return nil, fmt.Errorf("%s: want http://HOST…, https://HOST… or file:///DIRECTORY", scrub(safeURL(u)))
}

// shelf is what all mirrors in directories have in common.
func (r *Repository) shelf(c Config) shelf {
	return shelf{aides: r.aides, pace: c.pace(), open: c.HeaderTimeout}
}

// refused says whether the metadata of a medium, and its images, rest since they did not verify.
func (r *Repository) refused(m memory) (metadata, images bool) {
	return r.metadata.bad(m.metadata), r.targets.bad(m.targets)
}

// Metadata reads one metadata file. See agent.Repository and the package comment on mirrors.
func (r *Repository) Metadata(ctx context.Context, name string, bytesMax int64) ([]byte, error) {
	r.wire.proof.offers() // by nobody yet
	r.media.refresh(ctx)
	var b []byte
	turns := turns{mirrors: &r.metadata}
	err := r.metadata.each(ctx, turns.all, nextRoot(name), func(m *mirror) (err error) {
		if b, err = m.metadata(ctx, name, max(bytesMax, 0), turns.hurry); err == nil {
			r.metadata.served(m)
		}
		return err
	})
	return b, err
}

// Image opens an image. Nothing is asked for where nothing is missing; a From beyond Length starts over.
func (r *Repository) Image(ctx context.Context, q agent.ImageRequest) (agent.ImageBody, error) {
	if q.Length < 0 || q.From < 0 {
		return agent.ImageBody{}, problem(agent.ReasonMalformed, "", "image %s: %d bytes from %d can't be asked for",
			clip(q.Name, 80), q.Length, q.From)
	}
	if q.From > q.Length {
		q.From, q.Validator = 0, ""
	}
	if q.From == q.Length {
		return agent.ImageBody{ReadCloser: &body{src: nothing{}, exact: true}, From: q.From, Validator: q.Validator}, nil
	}
	r.media.refresh(ctx)
	ctx, end := context.WithCancel(ctx)
	var opened agent.ImageBody
	err := r.targets.each(ctx, slices.Values(r.targets.prefer(q.Length-q.From, r.throttle.bandwidth())), false, func(m *mirror) error {
		b, validator, from, err := r.open(ctx, m, q)
		if err != nil {
			return err
		}
		r.targets.gives(m, q.Name, from)
		_, known := r.targets.sight(m)
		q.From, q.Validator = from, validator
		opened = agent.ImageBody{From: from, Validator: validator,
			ReadCloser: &relay{repo: r, ctx: ctx, end: end, q: q, mirror: m, fresh: !known, out: map[*mirror]time.Time{}, body: b}}
		return nil
	})
	if err != nil {
		end()
	}
	return opened, err
}

// open asks one mirror for an image.
func (r *Repository) open(ctx context.Context, m *mirror, q agent.ImageRequest) (*body, string, int64, error) {
	b, validator, from, err := m.image(ctx, q)
	if err != nil {
		return nil, "", 0, err
	}
	b.done = func(err error) {
		if err == nil {
			r.targets.served(m)
			return
		}
		r.targets.failed(m, err)
		r.wire.CloseIdleConnections()
		if p, ok := errors.AsType[*agent.Problem](err); ok {
			p.Elsewhere = p.Elsewhere || r.targets.elsewhere()
		}
	}
	return b, validator, from, nil
}

// nothing is the body of an image that is all there.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }
func (nothing) Close() error             { return nil }

// Local is true where the metadata that was handed over last came from a directory: no network is needed.
func (r *Repository) Local() bool { return r.metadata.local() }

// MetadataAccepted says that what Metadata returned last verified: its host is reached, and no login page
// stands in between.
func (r *Repository) MetadataAccepted() { r.wire.proof.accepted() }

// MetadataSource names the mirror that Metadata was answered by last.
func (r *Repository) MetadataSource() string { return r.metadata.lastSource() }

// MetadataRefused says that what Metadata returned last did not verify: another mirror comes first for some hours.
func (r *Repository) MetadataRefused() (elsewhere bool) { return r.metadata.refused() }

// ImageRefused says that the image of this name had wrong bytes when it was opened last: other mirrors alone
// are asked for some hours. Another image that is under way meanwhile has givers of its own.
func (r *Repository) ImageRefused(name string) (elsewhere bool) { return r.targets.imageRefused(name) }

// ImageSource names the mirrors whose bytes the image of this name may hold.
func (r *Repository) ImageSource(name string) string { return r.targets.imageSource(name) }

// SetBandwidth changes the cap, in bytes per second, of everything under way and to come; 0 lifts it.
func (r *Repository) SetBandwidth(bytesPerSecond int64) error {
	if err := checkBandwidth(bytesPerSecond); err != nil {
		return err
	}
	r.throttle.set(bytesPerSecond)
	return nil
}

// Counters may be read at any time.
func (r *Repository) Counters() Counters {
	return Counters{Requests: r.wire.requests.Load(), BodyBytes: r.wire.bodyBytes.Load()}
}

// Close drops idle connections, and the aide that waits for work. Bodies that are open go on.
func (r *Repository) Close() error {
	r.aides.close()
	r.wire.CloseIdleConnections()
	return nil
}
