package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestTermEndsTheRealAgent, whatever it waits for: a server that takes connections and says nothing, and a
// hook that does not listen to SIGTERM. The hook has its grace.
func TestTermEndsTheRealAgent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	asked := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			asked <- struct{}{}
		}
	}()
	const grace = 10 * time.Second // the hook's default
	for name, tt := range map[string]struct {
		hook string
		most time.Duration
	}{
		"a silent server": {"", 10 * time.Second},
		"a deaf hook":     {"trap '' TERM; echo $$ > \"$0.pid\"; while :; do sleep 1; done\n", 10*time.Second + grace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newRunDevice(t, tt.hook)
			d.write("config.toml", strings.Replace(readFile(d.path("config.toml")), "file://"+d.dir+"/repo/repo/metadata", "http://"+l.Addr().String(), 1), 0o644)
			d.start(nil)
			if tt.hook == "" {
				go func() { _, _ = d.client.Check(t.Context()) }()
				select {
				case <-asked:
				case <-time.After(20 * time.Second):
					t.Fatal("the server was not asked")
				}
			} else {
				d.await("run of the hook", func() bool { return readFile(d.path("hook.pid")) != "" })
			}
			if err := d.terminateWithin(tt.most); err != nil {
				t.Errorf("after SIGTERM: %v", err)
			}
		})
	}
}

// readFile is what a file holds; "": it is not there.
func readFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}
