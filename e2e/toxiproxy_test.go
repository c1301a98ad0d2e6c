package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/stream"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// A toxic link is toxiproxy between agent and server, with a count of the bytes that went to the agent.
type toxicLink struct {
	t       testing.TB
	proxy   *toxiproxy.Proxy
	metered *meter
}

func newToxicLink(t testing.TB, upstream string) *toxicLink {
	t.Helper()
	registerMeter()
	log := zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), log)
	l := &toxicLink{t: t, proxy: toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)}
	must(t, l.proxy.Start())
	t.Cleanup(l.proxy.Stop)
	return l
}

func (l *toxicLink) url() string { return "http://" + l.proxy.Listen }

// add adds a toxic to what goes to the agent; attributes are JSON.
func (l *toxicLink) add(kind, attributes string) toxics.Toxic {
	l.t.Helper()
	w, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":%q,"type":%q,"stream":"downstream","attributes":%s}`, kind, kind, attributes)))
	must(l.t, err)
	return w.Toxic
}

// meter counts from now on; no toxic may be added behind it.
func (l *toxicLink) meter() { l.metered = l.add("meter", `{}`).(*meter) }

// delivered is how many bytes went to the agent, headers and metadata included.
func (l *toxicLink) delivered() int64 { return l.metered.bytes.Load() }

// A meter is a toxic that counts what it lets through, in pieces so small that what is counted has also been
// delivered, but for a few KiB. It comes last on a link.
type meter struct{ bytes atomic.Int64 }

const meterPiece = 2 << 10

var registerMeter = sync.OnceFunc(func() { toxics.Register("meter", new(meter)) })

// Pipe implements toxics.Toxic.
func (m *meter) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case c := <-stub.Input:
			if c == nil {
				stub.Close()
				return
			}
			for len(c.Data) > 0 {
				n := min(len(c.Data), meterPiece)
				stub.Output <- &stream.StreamChunk{Data: c.Data[:n], Timestamp: c.Timestamp}
				m.bytes.Add(int64(n))
				c.Data = c.Data[n:]
			}
		}
	}
}
