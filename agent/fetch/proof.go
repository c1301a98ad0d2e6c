package fetch

import (
	"bufio"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// proofFor is how long a host counts as reached after its metadata verified. A login page may come back
	// in the same network once a session is over.
	proofFor = 6 * time.Hour
	// proofsMax bounds how many hosts are remembered: redirects may name any.
	proofsMax = 64
	// routesBytesMax bounds what is read of a table of routes.
	routesBytesMax = 64 << 10
)

// A proof remembers which hosts served metadata that verified, in this network. A web page from one of those
// is its own, and not a login page of the network.
type proof struct {
	mu      sync.Mutex
	offered []string // by whom the metadata file that was handed over last came
	at      map[string]time.Time
}

// offers notes by which hosts a metadata file came, the redirecting ones included.
func (p *proof) offers(hosts ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offered = hosts
}

// accepted notes that what was offered last verified.
func (p *proof) accepted() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.at)+len(p.offered) > proofsMax {
		clear(p.at)
	}
	for _, host := range p.offered {
		p.at[host] = time.Now()
	}
	p.offered = nil
}

func (p *proof) holds(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.at[host]
	return ok && time.Since(at) < proofFor
}

// forget is called when the network changes.
func (p *proof) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.at)
}

// defaultRoutes names the gateways of both families, as the kernel's tables show them. Empty where they can't be read.
func defaultRoutes() string {
	var gateways []string
	for _, table := range []struct {
		path                string
		to, length, gateway int // columns
		device              int
	}{{"/proc/net/route", 1, 7, 2, 0}, {"/proc/net/ipv6_route", 0, 1, 4, 9}} {
		f, err := os.Open(table.path)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(io.LimitReader(f, routesBytesMax))
		for lines.Scan() {
			c := strings.Fields(lines.Text())
			if len(c) > max(table.device, table.length) && strings.Trim(c[table.to], "0") == "" && strings.Trim(c[table.length], "0") == "" {
				gateways = append(gateways, c[table.device]+" "+c[table.gateway])
			}
		}
		f.Close()
	}
	slices.Sort(gateways)
	return strings.Join(slices.Compact(gateways), " ")
}
